package chart_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// skaffold is what the tests read of skaffold.yaml.
type skaffold struct {
	APIVersion string `json:"apiVersion"`
	Build      struct {
		Artifacts []struct {
			Image  string `json:"image"`
			Docker struct {
				Dockerfile string `json:"dockerfile"`
			} `json:"docker"`
		} `json:"artifacts"`
	} `json:"build"`
	Deploy struct {
		Helm struct {
			Releases []struct {
				Name      string         `json:"name"`
				ChartPath string         `json:"chartPath"`
				SetValues map[string]any `json:"setValues"`
			} `json:"releases"`
		} `json:"helm"`
	} `json:"deploy"`
	PortForward []struct {
		ResourceName string `json:"resourceName"`
		Port         int32  `json:"port"`
	} `json:"portForward"`
	Profiles []struct {
		Name    string `json:"name"`
		Patches []struct {
			Path  string `json:"path"`
			Value any    `json:"value"`
		} `json:"patches"`
	} `json:"profiles"`
}

func readSkaffold(t *testing.T) (skaffold, []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "skaffold.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var s skaffold
	if err := yaml.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s, b
}

// TestSkaffoldSchema validates skaffold.yaml against Skaffold's own schema, which SKAFFOLD_SCHEMA names.
func TestSkaffoldSchema(t *testing.T) {
	path := os.Getenv("SKAFFOLD_SCHEMA")
	if path == "" {
		t.Skip("SKAFFOLD_SCHEMA names no file with the schema of skaffold.yaml")
	}
	schema, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, b := readSkaffold(t)
	b, err = yaml.YAMLToJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
}

// TestSkaffold deploys, in rendering, what each profile would: its values pass the chart's schema and the port that it forwards exists.
func TestSkaffold(t *testing.T) {
	s, _ := readSkaffold(t)
	release := s.Deploy.Helm.Releases[0]
	for _, path := range []string{s.Build.Artifacts[0].Docker.Dockerfile, filepath.Join(release.ChartPath, "Chart.yaml")} {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	var names []string
	for _, p := range s.Profiles {
		names = append(names, p.Name)
		values := []string{named}
		for _, patch := range p.Patches {
			if key, ok := strings.CutPrefix(patch.Path, "/deploy/helm/releases/0/setValues/"); ok {
				text, ok := patch.Value.(string)
				if !ok {
					t.Errorf("profile %s sets %s to a %T; helm's --set wants text", p.Name, key, patch.Value)
				}
				values = append(values, key+"="+text)
			}
			if b, _ := json.Marshal(patch.Value); bytes.Contains(b, []byte("jobManifestPath")) {
				var cases []struct {
					ExecutionMode struct {
						KubernetesCluster struct {
							JobManifestPath string `json:"jobManifestPath"`
						} `json:"kubernetesCluster"`
					} `json:"executionMode"`
				}
				if err := json.Unmarshal(b, &cases); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(filepath.Join(root, cases[0].ExecutionMode.KubernetesCluster.JobManifestPath)); err != nil {
					t.Errorf("profile %s: %v", p.Name, err)
				}
			}
		}
		objects := render(t, input{set: strings.Join(values, ",")})
		service := one[*corev1.Service](t, objects, s.PortForward[0].ResourceName)
		if service.Spec.Ports[0].Port != s.PortForward[0].Port {
			t.Errorf("profile %s forwards port %d, the Service has %d", p.Name, s.PortForward[0].Port, service.Spec.Ports[0].Port)
		}
		if p.Name == "dev" {
			if d := one[*appsv1.Deployment](t, objects, "siglab"); d.Spec.Replicas == nil || *d.Spec.Replicas != 1 {
				t.Errorf("profile dev runs %v replicas, want 1", d.Spec.Replicas)
			}
		}
	}
	slices.Sort(names)
	if want := []string{"debug", "dev", "kind", "load-test"}; !slices.Equal(names, want) {
		t.Errorf("profiles are %q, want %q", names, want)
	}
}

// TestOperatorValues renders with the values of k8s/operators, on top of the production ones, and follows each store to where the examples put it.
func TestOperatorValues(t *testing.T) {
	objects := render(t, input{files: []string{"values-production.yaml", "../../k8s/operators/values.yaml"}})
	config := one[*corev1.ConfigMap](t, objects, "siglab").Data
	for name, want := range map[string]string{
		"MYSQL_HOST": "siglab-mysql.databases.svc.cluster.local", "MYSQL_TLS": "skip-verify",
		"MONGO_URI_FILE": "/etc/siglab/secrets/mongo-uri", "REDIS_PASSWORD_FILE": "/etc/siglab/secrets/redis-password",
	} {
		if got := config[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(config["REDIS_URL"], "master_name=siglab") || config["REDIS_HOST"] != "" {
		t.Errorf("Redis is reached by %q and %q, want Sentinel", config["REDIS_URL"], config["REDIS_HOST"])
	}
	if n := len(all[*appsv1.StatefulSet](objects)); n != 0 {
		t.Errorf("%d bundled stores were rendered, want none", n)
	}
	items := podSpecs(objects)["Deployment siglab"].Volumes[0].Projected.Sources[2].Secret.Items
	if items[0].Key != "connectionString.standard" {
		t.Errorf("the connection string comes from key %q, want the operator's", items[0].Key)
	}
}

// TestSurroundingManifestsParse decodes what is beside the chart: core kinds strictly, others at least as objects with a kind and a name.
func TestSurroundingManifestsParse(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "k8s/operators/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if filepath.Base(file) == "values.yaml" {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq("\n"+string(b), "\n---") {
			var head struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Metadata   struct {
					Name string `json:"name"`
				} `json:"metadata"`
			}
			if err := yaml.Unmarshal([]byte(doc), &head); err != nil || head.Kind == "" || head.Metadata.Name == "" {
				t.Errorf("%s: %v, kind %q, name %q", file, err, head.Kind, head.Metadata.Name)
				continue
			}
			n++
			if typed, ok := types[head.APIVersion+"/"+head.Kind]; ok {
				if err := yaml.UnmarshalStrict([]byte(doc), typed()); err != nil {
					t.Errorf("%s: %s %s: %v", file, head.Kind, head.Metadata.Name, err)
				}
			}
		}
	}
	if n < 6 {
		t.Errorf("%d objects were read, want those of three stores", n)
	}
}
