package chart_test

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const (
	chartDir  = "../../charts/siglab"
	namespace = "lab"
)

// named is the minimum of values with which the chart renders where no cluster answers.
const named = "auth.existingSecret=cred,mysql.auth.existingSecret=cred,mongo.auth.existingSecret=cred,redis.auth.existingSecret=cred"

// input is one rendering: values as `--set` and as files, the objects of the cluster it is rendered against (nil: none answers), and API versions
// that this cluster serves beside Kubernetes' own.
type input struct {
	set     string
	files   []string
	cluster []runtime.Object
	serves  []string
}

// cluster is what every cluster holds, and more objects of the test's.
func cluster(more ...runtime.Object) []runtime.Object {
	root := &corev1.ConfigMap{}
	root.APIVersion, root.Kind, root.Name, root.Namespace = "v1", "ConfigMap", "kube-root-ca.crt", namespace
	return append([]runtime.Object{root}, more...)
}

// secret is a Secret of the test's namespace.
func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{Data: map[string][]byte{}}
	s.APIVersion, s.Kind, s.Name, s.Namespace = "v1", "Secret", name, namespace
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

// lookups answers the templates' lookup from objects in memory.
type lookups struct{ client dynamic.Interface }

func (l lookups) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, false, err
	}
	return l.client.Resource(gv.WithResource(strings.ToLower(kind) + "s")), kind != "Namespace", nil
}

func loadChart(t *testing.T) *chartv2.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryRender renders the chart as `helm install siglab` would, and returns the objects' YAML by file, or the refusal.
func tryRender(t *testing.T, in input) (map[string]string, error) {
	t.Helper()
	c := loadChart(t)
	values := map[string]any{}
	for _, f := range in.files {
		b, err := os.ReadFile(filepath.Join(chartDir, f))
		if err != nil {
			t.Fatal(err)
		}
		more := map[string]any{}
		if err := yaml.UnmarshalStrict(b, &more); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		values = loader.MergeMaps(values, more)
	}
	if in.set != "" {
		if err := strvals.ParseInto(in.set, values); err != nil {
			t.Fatal(err)
		}
	}
	options := common.ReleaseOptions{Name: "siglab", Namespace: namespace, Revision: 1, IsInstall: true}
	capabilities := *common.DefaultCapabilities
	capabilities.APIVersions = slices.Concat(capabilities.APIVersions, in.serves)
	full, err := util.ToRenderValues(c, values, options, &capabilities)
	if err != nil {
		return nil, err
	}
	if in.cluster == nil {
		return engine.Render(c, full)
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return engine.RenderWithClientProvider(c, full, lookups{fake.NewSimpleDynamicClient(scheme, in.cluster...)})
}

// object is one rendered object, decoded strictly into its Kubernetes type.
type object struct {
	kind, name, file, text string
	typed                  any
}

// middleware is of Traefik's kind Middleware the little that the chart may write.
type middleware struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Retry struct {
			Attempts int `json:"attempts"`
		} `json:"retry"`
	} `json:"spec"`
}

// types has every kind that the chart may render; another one fails the test that meets it.
var types = map[string]func() any{
	"v1/ConfigMap":                             func() any { return &corev1.ConfigMap{} },
	"v1/Secret":                                func() any { return &corev1.Secret{} },
	"v1/Service":                               func() any { return &corev1.Service{} },
	"v1/ServiceAccount":                        func() any { return &corev1.ServiceAccount{} },
	"v1/Pod":                                   func() any { return &corev1.Pod{} },
	"v1/PersistentVolumeClaim":                 func() any { return &corev1.PersistentVolumeClaim{} },
	"apps/v1/Deployment":                       func() any { return &appsv1.Deployment{} },
	"apps/v1/StatefulSet":                      func() any { return &appsv1.StatefulSet{} },
	"batch/v1/Job":                             func() any { return &batchv1.Job{} },
	"batch/v1/CronJob":                         func() any { return &batchv1.CronJob{} },
	"autoscaling/v2/HorizontalPodAutoscaler":   func() any { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"policy/v1/PodDisruptionBudget":            func() any { return &policyv1.PodDisruptionBudget{} },
	"networking.k8s.io/v1/Ingress":             func() any { return &networkingv1.Ingress{} },
	"networking.k8s.io/v1/NetworkPolicy":       func() any { return &networkingv1.NetworkPolicy{} },
	"rbac.authorization.k8s.io/v1/Role":        func() any { return &rbacv1.Role{} },
	"rbac.authorization.k8s.io/v1/RoleBinding": func() any { return &rbacv1.RoleBinding{} },
	"scheduling.k8s.io/v1/PriorityClass":       func() any { return &schedulingv1.PriorityClass{} },
	"gateway.networking.k8s.io/v1/HTTPRoute":   func() any { return &gatewayv1.HTTPRoute{} },
	"traefik.io/v1alpha1/Middleware":           func() any { return &middleware{} },
	"monitoring.coreos.com/v1/ServiceMonitor":  func() any { return &monitoringv1.ServiceMonitor{} },
	"monitoring.coreos.com/v1/PrometheusRule":  func() any { return &monitoringv1.PrometheusRule{} },
}

// render renders and decodes; a field that Kubernetes does not know, or a kind that the table lacks, fails the test.
func render(t *testing.T, in input) []object {
	t.Helper()
	files, err := tryRender(t, in)
	if err != nil {
		t.Fatalf("rendering with %q: %v", in.set, err)
	}
	var out []object
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if path.Base(file) == "NOTES.txt" {
			continue
		}
		for doc := range strings.SplitSeq("\n"+files[file], "\n---") {
			var head struct {
				APIVersion string `json:"apiVersion"`
				Kind       string `json:"kind"`
				Metadata   struct {
					Name string `json:"name"`
				} `json:"metadata"`
			}
			if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
				t.Fatalf("%s: %v\n%s", file, err, doc)
			}
			if head.Kind == "" {
				continue
			}
			make, ok := types[head.APIVersion+"/"+head.Kind]
			if !ok {
				t.Fatalf("%s renders a %s/%s, which the table of types lacks", file, head.APIVersion, head.Kind)
			}
			typed := make()
			if err := yaml.UnmarshalStrict([]byte(doc), typed); err != nil {
				t.Fatalf("%s: %s %s: %v\n%s", file, head.Kind, head.Metadata.Name, err, doc)
			}
			out = append(out, object{head.Kind, head.Metadata.Name, file, doc, typed})
		}
	}
	return out
}

// all returns the objects of one type.
func all[T any](objects []object) []T {
	var out []T
	for _, o := range objects {
		if typed, ok := o.typed.(T); ok {
			out = append(out, typed)
		}
	}
	return out
}

// one returns the object of one type and name, and fails the test when it is not there.
func one[T any](t *testing.T, objects []object, name string) T {
	t.Helper()
	for _, o := range objects {
		if typed, ok := o.typed.(T); ok && o.name == name {
			return typed
		}
	}
	var zero T
	t.Fatalf("no %T named %q was rendered", zero, name)
	return zero
}

// has says whether an object of one type and name was rendered.
func has[T any](objects []object, name string) bool {
	return slices.ContainsFunc(objects, func(o object) bool {
		_, ok := o.typed.(T)
		return ok && o.name == name
	})
}

// podSpecs returns the pod of every workload, hook and test of the release, by kind and name.
func podSpecs(objects []object) map[string]corev1.PodSpec {
	out := map[string]corev1.PodSpec{}
	for _, o := range objects {
		switch w := o.typed.(type) {
		case *appsv1.Deployment:
			out["Deployment "+o.name] = w.Spec.Template.Spec
		case *appsv1.StatefulSet:
			out["StatefulSet "+o.name] = w.Spec.Template.Spec
		case *batchv1.Job:
			out["Job "+o.name] = w.Spec.Template.Spec
		case *batchv1.CronJob:
			out["CronJob "+o.name] = w.Spec.JobTemplate.Spec.Template.Spec
		case *corev1.Pod:
			out["Pod "+o.name] = w.Spec
		}
	}
	return out
}

// env is a container's own variables as name to value.
func env(c corev1.Container) map[string]string {
	out := map[string]string{}
	for _, e := range c.Env {
		out[e.Name] = e.Value
	}
	return out
}
