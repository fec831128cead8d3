package chart

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// head is what stands above the table of values.
const head = `# The SIGLAB chart

    helm install siglab charts/siglab --namespace siglab --create-namespace --wait
    helm test siglab --namespace siglab --logs

One command gives a working SIGLAB with its own small MySQL, MongoDB and Redis; ` + "`values-production.yaml`" + ` turns those off and
points at stores that are run elsewhere. Helm 3.14 or later, Kubernetes 1.29 or later.

**Credentials.** For each of the four (` + "`auth`, `mysql`, `mongo`, `redis`" + `) either name a Secret (` + "`existingSecret`" + `) or let the chart generate
one: made once, read back at every later rendering, and kept by an uninstall. That needs a cluster that answers the
rendering. Tools that render first and apply later (` + "`helm template`" + `, Argo CD) must name Secrets, and the chart says so. A named Secret that
is not there, or that lacks a key, stops the rendering with a sentence; one Secret may hold all keys. To see whether a cluster
answers, the chart looks for the ConfigMap ` + "`kube-root-ca.crt`" + ` of the release's namespace, and only where that namespace does not exist yet for the
namespace ` + "`kube-system`" + `.

**Upgrades.** New pods migrate in an init container, under a lock, before old ones go; a version that cannot migrate or start
leaves the old one serving. The step from ` + "`autoscaling.enabled=false` to `true`" + ` hands the number of replicas to the HPA: Kubernetes starts it
from 1, so do that step when there is little traffic.

**Killed pods.** A pod that is killed outright (the kernel's out-of-memory killer, SIGKILL) loses what it was working on. Until the cluster has
noticed, about a second later, proxies go on choosing it; connections to it are refused, and a proxy that gives up then loses more. Trying
another pod instead is safe for every request, since nothing of it was sent. ingress-nginx does that by default (` + "`proxy-next-upstream: error timeout`" + `).
Traefik does when ` + "`traefikRetry.ingress` or `traefikRetry.httpRoute`" + ` is on: the chart then makes a ` + "`Middleware`" + ` (traefik.io/v1alpha1) and names it in the
Ingress's annotation, beside the middlewares that ` + "`ingress.annotations`" + ` names, or in the HTTPRoute. It is off by default because a Traefik without
its provider kubernetesCRD drops a route whose Middleware it cannot read.

**Network policies** name the namespaces of common ingress controllers and of Prometheus; a controller on the host's network has no
namespace to name and needs ` + "`networkPolicy.extraIngress`" + ` with its address.

## Values

This table is generated from the comments in ` + "`values.yaml`: `go test ./... -run TestREADME -update` in `tests/chart`" + ` writes it.

| value | default | meaning |
|---|---|---|
`

// README returns the chart's README: a fixed head and one row for each value that has a "# --" comment in values.yaml.
// It returns an error that names every key without one.
func README(values []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return nil, err
	}
	var out strings.Builder
	out.WriteString(head)
	var missing []string
	rows(&out, &missing, "", doc.Content[0])
	if len(missing) > 0 {
		return nil, fmt.Errorf("values.yaml has no \"# --\" comment above %s", strings.Join(missing, ", "))
	}
	return []byte(out.String()), nil
}

// rows writes a row for each commented key of a mapping, and goes down into those that have none.
func rows(out *strings.Builder, missing *[]string, prefix string, mapping *yaml.Node) {
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := prefix + key.Value
		text, ok := describe(key.HeadComment)
		switch {
		case ok:
			fmt.Fprintf(out, "| `%s` | %s | %s |\n", name, show(value), strings.ReplaceAll(text, "|", `\|`))
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			rows(out, missing, name+".", value)
		default:
			*missing = append(*missing, name)
		}
	}
}

// describe returns the text of a comment from its "# --" on, on one line.
func describe(comment string) (string, bool) {
	_, text, ok := strings.Cut("\n"+comment, "\n# -- ")
	var words []string
	for line := range strings.SplitSeq(text, "\n") {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(words, " ")), ok
}

// show returns a default as it can stand in a table: JSON, and long ones left to the file.
func show(value *yaml.Node) string {
	var v any
	if err := value.Decode(&v); err != nil {
		return err.Error()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if len(b) > 70 {
		return "see `values.yaml`"
	}
	return "`" + string(b) + "`"
}
