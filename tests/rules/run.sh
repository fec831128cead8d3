#!/usr/bin/env bash
# Renders the rules from the chart, as an installation would get them, and runs promtool's tests on them.
# Needs helm and promtool on PATH. With the names of tests as arguments, runs only those.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# render FILE [HELM FLAG...]: the groups of the PrometheusRule, as Prometheus's own rule file has them.
render() {
  local file=$1; shift
  helm template siglab ../../charts/siglab --namespace lab --show-only templates/prometheusrule.yaml \
    --set auth.existingSecret=x,mysql.auth.existingSecret=x,mongo.auth.existingSecret=x,redis.auth.existingSecret=x \
    --set prometheusRule.enabled=true "$@" |
    awk '/^spec:/ {inside = 1; next} inside {sub(/^  /, ""); print}' >"$work/$file"
  promtool check rules --lint=all --lint-fatal "$work/$file" >/dev/null || { promtool check rules --lint=all "$work/$file"; exit 1; }
}

render default.yaml
# A test on a cluster cannot wait for an hour: the same rules with short windows, by values alone.
render short.yaml -f short-values.yaml

(($#)) || set -- *.test.yaml
for test in "$@"; do
  cp "$test" "$work"
  echo "$test"
  promtool test rules "$work/$(basename "$test")"
done
