package chart_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

const watched = named + ",serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboards.enabled=true"

func TestNothingForAnOperatorThatIsNotThere(t *testing.T) {
	objects := render(t, input{set: named})
	if has[*monitoringv1.ServiceMonitor](objects, "siglab") || has[*monitoringv1.PrometheusRule](objects, "siglab") {
		t.Error("kinds of prometheus-operator are rendered though nobody asked")
	}
	if has[*corev1.ConfigMap](objects, "siglab-dashboard-service") || len(all[*batchv1.Job](objects)) > 0 {
		t.Error("a dashboard or a load test is rendered though nobody asked")
	}
	// What tests beside the release read is always there.
	if got := one[*corev1.ConfigMap](t, objects, "siglab-slo").Data["SLO_LATENCY_SECONDS"]; got != "0.5" {
		t.Errorf("SLO_LATENCY_SECONDS: got %q", got)
	}
}

func TestServiceMonitorFindsTheMetrics(t *testing.T) {
	objects := render(t, input{set: watched + ",serviceMonitor.labels.team=lab,serviceMonitor.interval=7s"})
	monitor := one[*monitoringv1.ServiceMonitor](t, objects, "siglab")
	service := one[*corev1.Service](t, objects, "siglab-metrics")
	for k, v := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[k] != v {
			t.Errorf("the Service has %s=%q, the ServiceMonitor looks for %q", k, service.Labels[k], v)
		}
	}
	for _, s := range all[*corev1.Service](objects) {
		if s.Name != service.Name && s.Labels["app.kubernetes.io/component"] == service.Labels["app.kubernetes.io/component"] {
			t.Errorf("%s would be scraped too", s.Name)
		}
	}
	endpoint := monitor.Spec.Endpoints[0]
	if !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == endpoint.Port }) {
		t.Errorf("the Service has no port %q", endpoint.Port)
	}
	if classic := monitor.Spec.ScrapeClassicHistograms; classic == nil || !*classic {
		t.Error("the classic buckets, which the latency SLI reads, are not scraped beside native ones")
	}
	if monitor.Spec.JobLabel != "app.kubernetes.io/instance" || endpoint.Interval != "7s" || monitor.Labels["team"] != "lab" {
		t.Errorf("got job label %q, interval %q, labels %v", monitor.Spec.JobLabel, endpoint.Interval, monitor.Labels)
	}
}

// TestOneSLO changes each number of the SLO, and finds it in every place that is made from it.
func TestOneSLO(t *testing.T) {
	objects := render(t, input{set: watched, files: []string{"../../tests/chart/testdata/slo.yaml"}})
	var rules strings.Builder
	for _, g := range one[*monitoringv1.PrometheusRule](t, objects, "siglab").Spec.Groups {
		for _, r := range g.Rules {
			rules.WriteString(r.Alert + r.Record + " " + r.Expr.String() + "\n")
		}
	}
	service := one[*corev1.ConfigMap](t, objects, "siglab-dashboard-service").Data
	k6 := one[*corev1.ConfigMap](t, objects, "siglab-dashboard-k6").Data
	boards := strings.Join(append(values(service), values(k6)...), "\n")
	for what, tc := range map[string]struct{ in, want string }{
		"errors, rule":         {rules.String(), "> 14.4 * 0.005"},
		"errors, record":       {rules.String(), "job:siglab_slo_errors:ratio vector(0.005)"},
		"slow, rule":           {rules.String(), "> 14.4 * 0.1\n"},
		"threshold, rule":      {rules.String(), `le="0.25"`},
		"throughput, record":   {rules.String(), "job:siglab_slo_throughput:rate vector(250)"},
		"memory, rule":         {rules.String(), "0.95 * 256000000"},
		"threshold, dashboard": {boards, `"value": 0.25`},
		"errors, dashboard":    {boards, `"value": 0.005`},
		"memory, dashboard":    {boards, `"value": 256000000`},
	} {
		if !strings.Contains(tc.in, tc.want) {
			t.Errorf("%s: %q is missing", what, tc.want)
		}
	}
	for _, old := range []string{`le="0.5"`, "512000000", "0.001"} {
		if strings.Contains(rules.String(), old) {
			t.Errorf("the rules still have %s", old)
		}
	}
	got := one[*corev1.ConfigMap](t, objects, "siglab-slo").Data
	for key, want := range map[string]string{
		"SLO_LATENCY_SECONDS": "0.25", "SLO_LATENCY_OBJECTIVE": "90", "SLO_ERROR_RATIO": "0.005", "SLO_REQUESTS_PER_SECOND": "250",
	} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
}

func values(m map[string]string) []string {
	var out []string
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// TestRulesFollowTheValues: windows, factors and switches change what is loaded.
func TestRulesFollowTheValues(t *testing.T) {
	count := func(set, alert string) (n int) {
		for _, g := range one[*monitoringv1.PrometheusRule](t, render(t, input{set: watched + set}), "siglab").Spec.Groups {
			for _, r := range g.Rules {
				if r.Alert == alert {
					n++
				}
			}
		}
		return n
	}
	if got := count("", "SiglabErrorBudgetBurn"); got != 4 {
		t.Errorf("got %d burn rates, want 4", got)
	}
	if got := count(`,slo.burnRates[0].severity=page,slo.burnRates[0].factor=2,slo.burnRates[0].long=10m,slo.burnRates[0].short=1m,slo.burnRates[0].for=0s`, "SiglabLatencyBudgetBurn"); got != 1 {
		t.Errorf("got %d burn rates, want the one that was given", got)
	}
	if got := count("", "SiglabAtMaximumReplicas"); got != 1 {
		t.Errorf("got %d, want 1", got)
	}
	for _, set := range []string{",autoscaling.enabled=false", ",autoscaling.minReplicas=4,autoscaling.maxReplicas=4"} {
		if got := count(set, "SiglabAtMaximumReplicas"); got != 0 {
			t.Errorf("%s: got %d, want none: it would always fire", set, got)
		}
	}
	// A threshold of a whole second is written in two ways by two versions of Prometheus.
	rule := one[*monitoringv1.PrometheusRule](t, render(t, input{set: watched + ",slo.latency.thresholdSeconds=1,slo.includeSynthetic=true,prometheusRule.alertLabels.team=lab"}), "siglab")
	for _, g := range rule.Spec.Groups {
		for _, r := range g.Rules {
			if r.Record == "pod:siglab_slow:rate5m" && !strings.Contains(r.Expr.String(), `le=~"1(\\.0)?"`) {
				t.Errorf("the bucket is missing in %s", r.Expr.String())
			}
			if strings.Contains(r.Expr.String(), "synthetic") {
				t.Errorf("%s leaves synthetic requests out", r.Record)
			}
			if r.Alert != "" && (r.Labels["team"] != "lab" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["runbook_url"] == "") {
				t.Errorf("%s: labels %v, annotations %v", r.Alert, r.Labels, r.Annotations)
			}
		}
	}
}

func TestDashboards(t *testing.T) {
	objects := render(t, input{set: watched + ",dashboards.namespace=grafana,dashboards.label=board,dashboards.annotations.folder=SIGLAB"})
	open := regexp.MustCompile(`#\w+#`)
	for _, name := range []string{"siglab-dashboard-service", "siglab-dashboard-k6"} {
		board := one[*corev1.ConfigMap](t, objects, name)
		if board.Namespace != "grafana" || board.Labels["board"] != "1" || board.Annotations["folder"] != "SIGLAB" {
			t.Errorf("%s: namespace %q, labels %v, annotations %v", name, board.Namespace, board.Labels, board.Annotations)
		}
		for file, text := range board.Data {
			var d struct {
				UID    string
				Panels []struct {
					Type, Title, Description string
					FieldConfig              struct {
						Defaults struct {
							Unit       string
							Thresholds struct{ Steps []struct{ Value *float64 } }
						}
					}
					Targets []struct{ Expr string }
				}
				Templating struct{ List []struct{ Name string } }
			}
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if left := open.FindAllString(text, -1); left != nil {
				t.Errorf("%s: left open: %v", file, left)
			}
			if d.UID == "" || len(d.UID) > 40 {
				t.Errorf("%s: uid %q, and Grafana takes 1 to 40 characters", file, d.UID)
			}
			var names []string
			for _, v := range d.Templating.List {
				names = append(names, v.Name)
			}
			if !slices.Contains(names, "namespace") || !slices.Contains(names, "release") {
				t.Errorf("%s: variables %v", file, names)
			}
			for _, p := range d.Panels {
				if p.Type != "row" && (p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0) {
					t.Errorf("%s: panel %q lacks a description, a unit or a query", file, p.Title)
				}
			}
		}
	}
}

func TestLoadTest(t *testing.T) {
	objects := render(t, input{set: named + ",loadTest.enabled=true"})
	job := one[*batchv1.Job](t, objects, "siglab-load-test-1")
	if *job.Spec.BackoffLimit != 0 || job.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Error("a test that missed its thresholds is run again")
	}
	container := job.Spec.Template.Spec.Containers[0]
	if got := container.Args[len(container.Args)-1]; got != "/scripts/carga.js" {
		t.Errorf("got %s", got)
	}
	scripts := one[*corev1.ConfigMap](t, objects, "siglab-k6").Data
	for _, file := range []string{"lib.js", "smoke.js", "carga.js", "saturacion.js", "estres.js", "resistencia.js"} {
		if scripts[file] == "" {
			t.Errorf("%s is missing", file)
		}
	}
	if got := env(container); got["RATE"] != "" || got["K6_PROMETHEUS_RW_SERVER_URL"] != "" {
		t.Errorf("set though nobody asked: %v", got)
	}
	if has[*networkingv1.NetworkPolicy](objects, "siglab-load-test") {
		t.Error("a way out to no Prometheus")
	}

	objects = render(t, input{set: named + ",loadTest.enabled=true,loadTest.scenario=estres,loadTest.rate=7,loadTest.duration=1m,loadTest.baseURL=http://other," +
		"loadTest.remoteWriteURL=http://prometheus.monitoring:9090/api/v1/write,loadTest.image.digest=sha256:" + strings.Repeat("0", 64)})
	container = one[*batchv1.Job](t, objects, "siglab-load-test-1").Spec.Template.Spec.Containers[0]
	got := env(container)
	for key, want := range map[string]string{"RATE": "7", "DURATION": "1m", "BASE_URL": "http://other", "K6_PROMETHEUS_RW_SERVER_URL": "http://prometheus.monitoring:9090/api/v1/write"} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
	if !slices.Contains(container.Args, "--out=experimental-prometheus-rw") || !strings.Contains(container.Image, "@sha256:") {
		t.Errorf("got %s %v", container.Image, container.Args)
	}
	policy := one[*networkingv1.NetworkPolicy](t, objects, "siglab-load-test")
	if port := policy.Spec.Egress[0].Ports[0].Port.IntValue(); port != 9090 {
		t.Errorf("the way out to Prometheus is port %d", port)
	}
}
