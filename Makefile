SHELL := /bin/bash

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# The commit's date and not today's: the same sources make the same program.
DATE ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

DATA_DIR ?= .data
SERVERS_DIR ?= .servers
IMAGE ?= siglab:dev
CLUSTER ?= siglab
FUZZTIME ?= 10s
# Flags of `go test`, as in `make test TESTFLAGS='-run Login -v'`.
TESTFLAGS ?=
# Flags of the benchmarks, as in `make bench BENCHFLAGS='-run listar'`.
BENCHFLAGS ?=
RACE_PACKAGES ?= ./app/...

TOOL := go tool -modfile=$(CURDIR)/.ci/tools/go.mod
# Every module with Go code: the service and those that keep their own dependencies out of it.
MODULES := . .ci/ferretdb $(patsubst %/go.mod,%,$(wildcard tests/*/go.mod))

# Built when the machine has none.
HELM := $(if $(shell command -v helm),,bin/helm)
PROMTOOL := $(if $(shell command -v promtool),,bin/promtool)
export PATH := $(PATH):$(CURDIR)/bin

.DEFAULT_GOAL := help

.PHONY: help
help: ## Lists the targets.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ The service

.PHONY: build
build: ## Builds bin/siglab.
	go build -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/siglab ./app/cmd/siglab

.PHONY: run
run: build ## Runs the service with its data in DATA_DIR (.data); nothing else need be installed.
	@DATA_DIR='$(DATA_DIR)' exec bin/siglab

.PHONY: dev
dev: ## Runs the service and starts it again when a source changes.
	DRAIN_DELAY=0s $(TOOL) reflex -d none -s -t 10s -r '(\.go|\.sql|go\.mod)$$' -R '_test\.go$$' -- $(MAKE) --no-print-directory run

.PHONY: image
image: ## Builds the container image IMAGE (siglab:dev).
	docker build --build-arg VERSION='$(VERSION)' --build-arg COMMIT='$(COMMIT)' --build-arg DATE='$(DATE)' -t '$(IMAGE)' .

##@ Checks

.PHONY: test
test: ## Runs the tests; the suites of a server that TEST_* does not name are skipped.
	go test $(TESTFLAGS) ./...

.PHONY: servers
servers: ## Starts MariaDB, Redis and FerretDB for the tests; then `. .servers/env && make test`.
	.ci/servers start '$(SERVERS_DIR)'

.PHONY: servers-stop
servers-stop: ## Ends what `make servers` started.
	.ci/servers stop '$(SERVERS_DIR)'

.PHONY: cover
cover: ## Measures what the tests cover, and leaves cover.html.
	go test $(TESTFLAGS) -coverpkg=./app/... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o cover.html
	go tool cover -func=cover.out | tail -n 1

.PHONY: race
race: ## Runs the tests of RACE_PACKAGES under the race detector (wants a C compiler).
	CGO_ENABLED=1 go test -race $(TESTFLAGS) $(RACE_PACKAGES)

.PHONY: fuzz
fuzz: ## Fuzzes each decoder for FUZZTIME (10s).
	FUZZTIME='$(FUZZTIME)' .ci/fuzz

.PHONY: lint
lint: ## Checks format, go vet and staticcheck in every module.
	@unformatted=$$(gofmt -l app tests .ci) && if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	@set -e; for module in $(MODULES); do \
	  echo "lint: $$module"; \
	  (cd "$$module" && go vet ./... && $(TOOL) staticcheck ./...); \
	done

.PHONY: vuln
vuln: ## Looks the dependencies up in Go's list of vulnerabilities (wants the network).
	$(TOOL) govulncheck ./...

.PHONY: chart
chart: $(HELM) ## Checks the chart: helm lint and the rendering tests.
	helm lint --strict charts/siglab
	cd tests/chart && go test $(TESTFLAGS) ./...

.PHONY: rules
rules: $(HELM) $(PROMTOOL) ## Tests the alerting rules with promtool.
	tests/rules/run.sh

.PHONY: openapi
openapi: ## Holds the API's document against OpenAPI 3.1.
	cd tests/openapi && go test $(TESTFLAGS) ./...

.PHONY: faults
faults: build ## Breaks real servers under load: down, frozen, slow; prints what each request got.
	cd tests/faults && go test -count=1 -v -timeout 30m $(TESTFLAGS) ./...

.PHONY: bench
bench: build ## Measures the service beside the limit of what it does, and prints the ratios; BENCHFLAGS are its flags.
	cd tests/bench && go run . $(BENCHFLAGS)

# Their modules keep the programs' many dependencies apart from those of the small tools.
bin/helm: .ci/helm/go.mod
	cd .ci/helm && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w' -o '$(CURDIR)/bin/helm' helm.sh/helm/v4/cmd/helm

bin/promtool: .ci/promtool/go.mod
	cd .ci/promtool && CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags remove_all_sd -ldflags '-s -w' -o '$(CURDIR)/bin/promtool' github.com/prometheus/prometheus/cmd/promtool

##@ Kubernetes

.PHONY: e2e
e2e: ## Installs, breaks, upgrades and removes the chart on the cluster of KUBECONFIG; prints what each request got.
	cd tests/e2e && go test -count=1 -v -timeout 40m $(TESTFLAGS) ./...

.PHONY: slo
slo: ## Shows on that cluster that the SLO is measured, kept and paged for when it is broken.
	cd tests/slo && go test -count=1 -v -timeout 40m $(TESTFLAGS) ./...

.PHONY: kind-up
kind-up: ## Makes a local cluster with kind.
	kind create cluster --name '$(CLUSTER)' --config k8s/kind.yaml

.PHONY: kind-down
kind-down: ## Removes it.
	kind delete cluster --name '$(CLUSTER)'
