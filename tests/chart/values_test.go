package chart_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"

	"siglab/tests/chart"
)

var update = flag.Bool("update", false, "write the chart's README anew")

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(chartDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestREADMEIsCurrent(t *testing.T) {
	want, err := chart.README(read(t, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(chartDir, "README.md")
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, "README.md"); string(got) != string(want) {
		t.Error("charts/siglab/README.md is not what values.yaml says; run: go test ./... -run TestREADME -update")
	}
}

func TestREADMENamesAKeyWithoutAComment(t *testing.T) {
	_, err := chart.README([]byte("a:\n  # -- Said.\n  b: 1\n  c: 2\n"))
	if err == nil || !strings.Contains(err.Error(), "a.c") || strings.Contains(err.Error(), "a.b") {
		t.Errorf("got %v, want an error that names a.c alone", err)
	}
}

// TestSchemaCoversValues walks values.yaml and its schema side by side: each knows every key of the other, and every object of the
// schema is closed, so that a typo is refused everywhere.
func TestSchemaCoversValues(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal(read(t, "values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(read(t, "values.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["definitions"].(map[string]any)
	var walk func(path string, value any, schema map[string]any)
	walk = func(path string, value any, schema map[string]any) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		}
		properties, ok := schema["properties"].(map[string]any)
		if !ok {
			return
		}
		if schema["additionalProperties"] != false {
			t.Errorf("the schema of %q lets unknown keys pass", path)
		}
		object, _ := value.(map[string]any)
		for key, v := range object {
			if p, ok := properties[key].(map[string]any); ok {
				walk(strings.TrimPrefix(path+"."+key, "."), v, p)
			} else {
				t.Errorf("values.yaml has %s.%s, which the schema lacks", path, key)
			}
		}
		// A definition is shared by many keys, and Helm puts global and enabled in by itself: only what stands in place must be in values.yaml.
		for key := range properties {
			if _, ok := object[key]; !ok && path != "" && !strings.HasSuffix(path, "resources.requests") && !strings.HasSuffix(path, "resources.limits") && key != "claims" {
				t.Errorf("the schema has %s.%s, which values.yaml lacks", path, key)
			} else if !ok && path == "" && key != "global" {
				t.Errorf("the schema has %s, which values.yaml lacks", key)
			}
		}
	}
	walk("", values, schema)
}

func TestSchemaRefuses(t *testing.T) {
	for _, tt := range []struct{ set, names string }{
		{"replicaCuont=4", "replicaCuont"},
		{"image.pullPolicy=Sometimes", "pullPolicy"},
		{"image.digest=sha256:123", "digest"},
		{"autoscaling.minReplicas=0", "minReplicas"},
		{"autoscaling.maxReplicas=many", "maxReplicas"},
		{"autoscaling.behavior.scaleUp.polices=null", "scaleUp"},
		{"config.logLevel=loud", "logLevel"},
		{"config.drainDelaySeconds=-1", "drainDelaySeconds"},
		{"config.bcryptCost=4", "bcryptCost"},
		{"config.trustedProxies={everyone}", "trustedProxies"},
		{"config.sessionTTL=forever", "sessionTTL"},
		{"mysql.enabled=yes-please", "mysql"},
		{"mysql.external.port=0", "port"},
		{"mysql.tls=maybe", "tls"},
		{"mysql.auth.passwort=x", "auth"},
		{"mongo.external.hots=x", "external"},
		{"redis.maxMemory=lots", "maxMemory"},
		{"redis.external.url=redis://:secret@host:6379", "url"},
		{"resources.limits.memmory=1Gi", "limits"},
		{"resources.limits.memory=1GB", "memory"},
		{"ingress.hosts[0].paths[0].pathType=Regex", "pathType"},
		{"networkPolicy.mysqlPeers[0].ipBlok.cidr=10.0.0.0/8", "mysqlPeers"},
		{"podDisruptionBudget.maxUnavailable=half", "maxUnavailable"},
		{"service.type=ExternalName", "service"},
		{"tracing.protocol=carrier-pigeon", "protocol"},
		{"traefikRetry.attempts=1", "attempts"},
		{"auth.existingSecret=Not_A_Name", "existingSecret"},
		{"commonLabels.a=1", "commonLabels"},
	} {
		t.Run(tt.set, func(t *testing.T) {
			_, err := tryRender(t, input{set: named + "," + tt.set})
			if err == nil {
				t.Fatal("it renders; want a refusal by the schema")
			}
			if !strings.Contains(err.Error(), tt.names) {
				t.Errorf("got %q, want it to name %s", err, tt.names)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ name, set, says string }{
		{"more connections than MySQL has", "mysql.poolSize=14", "could open 154 connections, but mysql.maxConnections is 151"},
		{"the surge counts", "mysql.poolSize=20,mysql.maxConnections=200", "11 pods"},
		{"a surge in percent rounds up", "updateStrategy.maxSurge=25%,mysql.maxConnections=129", "13 pods"},
		{"replicas without an HPA", "autoscaling.enabled=false,replicaCount=20", "21 pods"},
		{"bounds crossed", "autoscaling.minReplicas=11", "minReplicas (11) is more than autoscaling.maxReplicas (10)"},
		{"a rollout that cannot move", "updateStrategy.maxSurge=0", "no rollout could go on"},
		{"no MySQL", "mysql.enabled=false", "mysql.external.host"},
		{"no MongoDB", "mongo.enabled=false", "mongo.external.host"},
		{"no Redis", "redis.enabled=false", "redis.external.host"},
		{"a URI without its Secret", "mongo.enabled=false,mongo.auth.enabled=false,mongo.auth.keys.uri=u", "mongo.auth.enabled must be true"},
		{"a URL without its Secret", "redis.enabled=false,redis.auth.enabled=false,redis.auth.keys.url=u", "redis.auth.enabled must be true"},
		{"a route without a gateway", "httpRoute.enabled=true", "httpRoute.parentRefs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tryRender(t, input{set: named + "," + tt.set})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error with %q", err, tt.says)
			}
		})
	}
}

// TestConnectionsThatFit is the other side of the refusal: exactly the server's limit renders.
func TestConnectionsThatFit(t *testing.T) {
	for _, set := range []string{"mysql.poolSize=10,mysql.maxConnections=110", "updateStrategy.maxSurge=25%,mysql.maxConnections=130"} {
		if _, err := tryRender(t, input{set: named + "," + set}); err != nil {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestLintStrict lints as `helm lint --strict` does: a warning is an error.
func TestLintStrict(t *testing.T) {
	production := map[string]any{}
	if err := yaml.Unmarshal(read(t, "values-production.yaml"), &production); err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string]map[string]any{"default": {}, "production": production} {
		linter := lint.RunAll(chartDir, values, namespace)
		for _, m := range linter.Messages {
			if m.Severity >= support.WarningSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

// TestProductionValues keeps the description's figures.
func TestProductionValues(t *testing.T) {
	objects := render(t, input{files: []string{"values-production.yaml"}})
	pods := podSpecs(objects)
	if got := slices.Sorted(keys(pods)); !slices.Equal(got, []string{"Deployment siglab", "Pod siglab-smoke"}) {
		t.Errorf("workloads are %q, want the API and its test alone", got)
	}
	r := pods["Deployment siglab"].Containers[0].Resources
	if got, want := r.Limits.Cpu().String()+" "+r.Limits.Memory().String()+" "+r.Requests.Cpu().String()+" "+r.Requests.Memory().String(), "1 1Gi 500m 512Mi"; got != want {
		t.Errorf("limits and requests are %s, want %s", got, want)
	}
}
