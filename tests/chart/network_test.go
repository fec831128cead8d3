package chart_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// endpoint is one end of a connection: a pod by its namespace and labels, or an address outside the cluster (no labels).
type endpoint struct {
	namespace string
	labels    map[string]string
}

// component is a pod of the release.
func component(name string) endpoint {
	return endpoint{namespace, map[string]string{"app.kubernetes.io/name": "siglab", "app.kubernetes.io/instance": "siglab", "app.kubernetes.io/component": name}}
}

// allowed says what an enforcing network would: whether policies let from reach to on a port, by name and number, by the rules of
// the NetworkPolicy API. Address blocks count as "outside".
func allowed(policies []*networkingv1.NetworkPolicy, from, to endpoint, name string, number int) bool {
	return direction(policies, from, to, name, number, networkingv1.PolicyTypeEgress) && direction(policies, to, from, name, number, networkingv1.PolicyTypeIngress)
}

func direction(policies []*networkingv1.NetworkPolicy, pod, peer endpoint, name string, number int, way networkingv1.PolicyType) bool {
	isolated := false
	for _, p := range policies {
		if p.Namespace != pod.namespace || pod.labels == nil || !matches(&p.Spec.PodSelector, pod.labels) || !slices.Contains(p.Spec.PolicyTypes, way) {
			continue
		}
		isolated = true
		for _, r := range p.Spec.Ingress {
			if way == networkingv1.PolicyTypeIngress && ports(r.Ports, name, number) && peers(r.From, p.Namespace, peer) {
				return true
			}
		}
		for _, r := range p.Spec.Egress {
			if way == networkingv1.PolicyTypeEgress && ports(r.Ports, name, number) && peers(r.To, p.Namespace, peer) {
				return true
			}
		}
	}
	return !isolated
}

func ports(list []networkingv1.NetworkPolicyPort, name string, number int) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port == nil || *p.Port == intstr.FromString(name) || *p.Port == intstr.FromInt32(int32(number))
	})
}

func peers(list []networkingv1.NetworkPolicyPeer, own string, e endpoint) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPeer) bool {
		switch {
		case p.IPBlock != nil:
			return e.labels == nil && p.IPBlock.CIDR != "169.254.20.10/32"
		case e.labels == nil:
			return false
		case p.NamespaceSelector == nil && e.namespace != own:
			return false
		case p.NamespaceSelector != nil && !matches(p.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": e.namespace}):
			return false
		}
		return p.PodSelector == nil || matches(p.PodSelector, e.labels)
	})
}

func matches(s *metav1.LabelSelector, with map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(with))
}

// TestNetworkPolicies asks of each pair of pods whether an enforcing network would let them talk. No cluster of this project's own
// tests enforces policies but the one in its continuous integration, so this table is the proof of their content.
func TestNetworkPolicies(t *testing.T) {
	api, mysql, mongo, redis, smoke := component("api"), component("mysql"), component("mongo"), component("redis"), component("test")
	dns := endpoint{"kube-system", map[string]string{"k8s-app": "kube-dns"}}
	ingress := endpoint{"traefik", map[string]string{"app": "traefik"}}
	prometheus := endpoint{"monitoring", map[string]string{"app": "prometheus"}}
	stranger := endpoint{"default", map[string]string{"app": "x"}}
	neighbour := endpoint{namespace, map[string]string{"app": "x"}}
	outside := endpoint{}

	type talk struct {
		what     string
		from, to endpoint
		port     string
		number   int
		want     bool
	}
	run := func(t *testing.T, set string, table []talk) {
		t.Helper()
		policies := all[*networkingv1.NetworkPolicy](render(t, input{set: named + set}))
		for _, tt := range table {
			if got := allowed(policies, tt.from, tt.to, tt.port, tt.number); got != tt.want {
				t.Errorf("with %q: %s: got %v, want %v", set, tt.what, got, tt.want)
			}
		}
	}
	run(t, "", []talk{
		{"ingress controller to API", ingress, api, "http", 8000, true},
		{"ingress controller to the internal port", ingress, api, "metrics", 9090, false},
		{"Prometheus to the internal port", prometheus, api, "metrics", 9090, true},
		{"Prometheus to API", prometheus, api, "http", 8000, false},
		{"test to API", smoke, api, "http", 8000, true},
		{"test to the internal port", smoke, api, "metrics", 9090, false},
		{"test to DNS", smoke, dns, "dns", 53, true},
		{"test to MySQL", smoke, mysql, "mysql", 3306, false},
		{"load test to API", component("load-test"), api, "http", 8000, true},
		{"a stranger to API", stranger, api, "http", 8000, false},
		{"a neighbour to API", neighbour, api, "http", 8000, false},
		{"an address outside to API", outside, api, "http", 8000, false},
		{"a stranger to the internal port", stranger, api, "metrics", 9090, false},
		{"API to DNS", api, dns, "dns", 53, true},
		{"API to MySQL", api, mysql, "mysql", 3306, true},
		{"API to MySQL's other port", api, mysql, "mysqlx", 33060, false},
		{"API to MongoDB", api, mongo, "mongo", 27017, true},
		{"API to Redis", api, redis, "redis", 6379, true},
		{"API to the world", api, outside, "https", 443, false},
		{"API to a MySQL outside", api, outside, "mysql", 3306, false},
		{"API to a collector", api, outside, "otlp", 4317, false},
		{"API to another API pod", api, api, "http", 8000, false},
		{"Redis to API", redis, api, "http", 8000, false},
		{"MySQL to the world", mysql, outside, "https", 443, false},
		{"MySQL to DNS", mysql, dns, "dns", 53, false},
		{"MySQL to Redis", mysql, redis, "redis", 6379, false},
		{"a stranger to MySQL", stranger, mysql, "mysql", 3306, false},
		{"a neighbour to MongoDB", neighbour, mongo, "mongo", 27017, false},
		{"Prometheus to Redis", prometheus, redis, "redis", 6379, false},
	})
	run(t, ",tracing.endpoint=http://collector:4317", []talk{
		{"API to a collector", api, outside, "otlp", 4317, true},
		{"API to the world", api, outside, "https", 443, false},
	})
	run(t, ",tracing.endpoint=http://c:4318,networkPolicy.otlpPort=4318,networkPolicy.otlpPeers[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring", []talk{
		{"API to the collector", api, prometheus, "otlp", 4318, true},
		{"API to a collector elsewhere", api, outside, "otlp", 4318, false},
	})
	run(t, ",mysql.enabled=false,mysql.external.host=h,mysql.external.port=3307,mongo.enabled=false,mongo.external.host=h,redis.enabled=false,redis.external.host=h,networkPolicy.redisPorts={6379,26379}", []talk{
		{"API to the external MySQL", api, outside, "mysql", 3307, true},
		{"API to the usual port of MySQL", api, outside, "mysql", 3306, false},
		{"API to the external MongoDB", api, outside, "mongo", 27017, true},
		{"API to Sentinel", api, outside, "sentinel", 26379, true},
		{"API to the world", api, outside, "https", 443, false},
	})
	run(t, ",mysql.enabled=false,mysql.external.host=h,networkPolicy.mysqlPeers[0].ipBlock.cidr=10.1.0.0/16", []talk{
		{"API to the external MySQL", api, outside, "mysql", 3306, true},
		{"API to a pod on that port", api, stranger, "mysql", 3306, false},
	})
	run(t, ",networkPolicy.controllerNamespaces=null,networkPolicy.prometheusNamespaces=null", []talk{
		{"ingress controller to API", ingress, api, "http", 8000, false},
		{"a stranger to API", stranger, api, "http", 8000, false},
		{"Prometheus to the internal port", prometheus, api, "metrics", 9090, false},
	})
	run(t, ",networkPolicy.extraIngress[0].from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=default,networkPolicy.extraEgress[0].ports[0].port=443", []talk{
		{"a stranger to API", stranger, api, "http", 8000, true},
		{"API to the world", api, outside, "https", 443, true},
	})
	run(t, ",networkPolicy.enabled=false", []talk{
		{"a stranger to API", stranger, api, "http", 8000, true},
	})
}

// TestPolicyPortsExist follows each port that a policy names to a container that has it.
func TestPolicyPortsExist(t *testing.T) {
	objects := render(t, input{set: named})
	have := map[string][]string{}
	add := func(labels map[string]string, pod corev1.PodSpec) {
		for _, c := range pod.Containers {
			for _, p := range c.Ports {
				have[labels["app.kubernetes.io/component"]] = append(have[labels["app.kubernetes.io/component"]], p.Name)
			}
		}
	}
	for _, d := range all[*appsv1.Deployment](objects) {
		add(d.Spec.Template.Labels, d.Spec.Template.Spec)
	}
	for _, s := range all[*appsv1.StatefulSet](objects) {
		add(s.Spec.Template.Labels, s.Spec.Template.Spec)
	}
	for _, p := range all[*networkingv1.NetworkPolicy](objects) {
		component := p.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"]
		for _, r := range p.Spec.Ingress {
			for _, port := range r.Ports {
				if port.Port.Type == intstr.String && !slices.Contains(have[component], port.Port.StrVal) {
					t.Errorf("%s opens port %q of %s, which has %s", p.Name, port.Port.StrVal, component, strings.Join(have[component], ", "))
				}
			}
		}
	}
}
