package slo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

const (
	// steady is the load that the burn rates are measured on, in requests a second.
	steady = 10
	// slowAnswer is the delay of a dependency: over the SLO's threshold, under the dependency's own timeout (2 s).
	slowAnswer = 600 * time.Millisecond
)

// TestSLO runs in order: each step leaves the release as the next one needs it.
func TestSLO(t *testing.T) {
	needCluster(t)
	c := &cluster{node: nodeAddress(t)}
	c.prom = prometheus("http://" + serviceAddress(t, "monitoring", "prometheus"))
	spans := startCollector(t, c.node)
	mongo := startProxy(t, c.node)

	image := os.Getenv("SIGLAB_IMAGE")
	if image == "" {
		image = "siglab:dev"
	}
	repository, tag, _ := strings.Cut(image, ":")
	c.values = []string{
		"--values", "../rules/short-values.yaml", "--values", "testdata/values.yaml",
		"--set", "image.repository=" + repository, "--set-string", "image.tag=" + tag,
		"--set", fmt.Sprintf("tracing.endpoint=http://%s:%s,networkPolicy.otlpPort=%s", c.node, spans.port, spans.port),
		"--set", "extraEnv[0].name=MONGO_HOST,extraEnv[0].value=" + c.node,
		"--set", "extraEnv[1].name=MONGO_PORT", "--set-string", "extraEnv[1].value=" + mongo.port(),
	}
	// A run that was cut short may have left a release behind.
	_, _ = try("helm", "uninstall", release, "--namespace", namespace, "--wait")
	_, _ = try("kubectl", "delete", "namespace", namespace, "--wait", "--timeout=5m")
	run(t, "kubectl", "create", "namespace", namespace)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("KEEP") != "" {
			return
		}
		_, _ = try("helm", "uninstall", release, "--namespace", namespace, "--wait")
		_, _ = try("kubectl", "delete", "namespace", namespace, "--wait", "--timeout=5m")
	})
	begin := time.Now()
	// The proxy leads nowhere until MongoDB's Service has its address, and the service's pods wait for it.
	c.upgrade(t, false)
	mongo.target = serviceAddress(t, namespace, release+"-mongo")
	c.upgrade(t, true)
	t.Logf("installed in %v", time.Since(begin).Round(time.Second))

	c.service = "http://" + serviceAddress(t, namespace, release)
	user := newClient(c.service)
	user.login(t, secret(t, release+"-auth", "admin-username"), secret(t, release+"-auth", "admin-password"))
	for i := range 5 {
		codigo := fmt.Sprintf("SLO-%d", i)
		user.must(t, 201, "POST", "/api/maquinas/agregar", map[string]string{
			"codigo_equipo": codigo, "tipo_equipo": "PC", "estado_actual": "operativa", "area": "Laboratorio 1", "fecha": "2026-01-15"}, nil)
		user.must(t, 201, "POST", "/api/mantenimientos/agregar", maintenance(codigo, "una revisión"), nil)
	}

	step := func(name string, f func(t *testing.T)) {
		t.Helper()
		if !t.Run(name, f) {
			t.FailNow()
		}
	}
	step("EveryPodIsScraped", c.everyPodIsScraped)
	step("CargaPasses", func(t *testing.T) {
		c.upgrade(t, false, "--set", "loadTest.enabled=true,loadTest.duration=90s")
		code, log := job(t, 8*time.Minute)
		if code != 0 {
			t.Fatalf("k6 ended with %d:\n%s", code, log)
		}
		t.Log(verdict(log))
	})
	background := user.load(steady, "/api/mantenimientos/historial/SLO-1", "/api/mantenimientos/historial/SLO-2")
	step("RulesHaveValues", c.rulesHaveValues)
	step("PanelsShowData", c.panelsShowData)
	step("Traces", func(t *testing.T) {
		traces(t, user, spans)
		c.exemplarsLeadToTraces(t, spans)
	})

	step("LatencyPages", func(t *testing.T) {
		c.pagesAndClears(t, "SiglabLatencyBudgetBurn", func() { mongo.slow(slowAnswer) }, func() { mongo.slow(0) })
	})
	step("ErrorsPage", func(t *testing.T) {
		c.pagesAndClears(t, "SiglabErrorBudgetBurn",
			func() { kubectl(t, "scale", "statefulset/"+release+"-mongo", "--replicas=0") },
			func() { kubectl(t, "scale", "statefulset/"+release+"-mongo", "--replicas=1") })
	})
	t.Logf("the background load was answered with %v", background.stop())

	step("CargaFailsWhenSlow", func(t *testing.T) {
		mongo.slow(slowAnswer)
		defer mongo.slow(0)
		c.upgrade(t, false, "--set", "loadTest.enabled=true,loadTest.duration=45s")
		code, log := job(t, 8*time.Minute)
		// 99 is k6's code for a threshold that was missed.
		if code != 99 {
			t.Fatalf("k6 ended with %d, want 99:\n%s", code, log)
		}
		if failed := kubectl(t, "get", "jobs", "--selector", "app.kubernetes.io/component=load-test", "--output", "jsonpath={.items[*].status.failed}"); failed != "1" {
			t.Errorf("the Job has %q failed pods, want 1", failed)
		}
		t.Log(verdict(log))
	})
	step("WhoServedHowMany", func(t *testing.T) { c.whoServedHowMany(t, user) })
}

func maintenance(codigo, text string) map[string]string {
	return map[string]string{"codigo_maquina": codigo, "empresa": "Servicio", "tecnico": "Técnica", "tipo": "preventivo", "fecha": "2026-02-01", "observaciones": text}
}

// nodeAddress is the node's address, if it is this machine's.
func nodeAddress(t *testing.T) string {
	t.Helper()
	address := run(t, "kubectl", "get", "nodes", "--output", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the node %s is not this machine: %v", address, err)
		}
		t.Skipf("the node %s is not this machine", address)
	}
	l.Close()
	return address
}

// verdict is the part of k6's summary that says what was asked and what was seen.
func verdict(log string) string {
	_, rest, _ := strings.Cut(log, "THRESHOLDS")
	out, _, _ := strings.Cut(rest, "TOTAL RESULTS")
	return strings.TrimSpace(out)
}

func (c *cluster) everyPodIsScraped(t *testing.T) {
	took := eventually(t, 2*time.Minute, "a healthy target for each pod", func() error {
		targets, err := c.prom.targets()
		if err != nil {
			return err
		}
		var scraped []string
		for _, x := range targets {
			if x.Health != "up" {
				return fmt.Errorf("%s: %s", x.Labels["pod"], x.LastError)
			}
			if x.Labels["job"] != release || x.Labels["server_id"] != x.Labels["pod"] {
				return fmt.Errorf("labels %v", x.Labels)
			}
			scraped = append(scraped, x.Labels["pod"])
		}
		pods := readyPods(t)
		slices.Sort(pods)
		slices.Sort(scraped)
		if len(pods) < 3 || !slices.Equal(pods, scraped) {
			return fmt.Errorf("pods %v, scraped %v", pods, scraped)
		}
		return nil
	})
	t.Logf("%d pods, after %v", len(readyPods(t)), took)
}

func (c *cluster) rulesHaveValues(t *testing.T) {
	names := map[string]bool{}
	eventually(t, 4*time.Minute, "a value of each recording rule", func() error {
		rules, err := c.prom.rules()
		if err != nil {
			return err
		}
		if len(rules) < 50 {
			return fmt.Errorf("%d rules are loaded", len(rules))
		}
		var errs []error
		for _, r := range rules {
			if r.Health != "ok" {
				errs = append(errs, fmt.Errorf("%s: %s %s", r.Name, r.Health, r.LastError))
				continue
			}
			if r.Type != "recording" {
				continue
			}
			names[r.Name] = true
			samples, err := c.prom.query(fmt.Sprintf(`%s{namespace=%q,job=%q}`, r.Name, namespace, release))
			if err != nil {
				return err
			}
			if len(numbers(samples)) == 0 {
				errs = append(errs, fmt.Errorf("%s has no value", r.Name))
			}
		}
		return errors.Join(errs...)
	})
	t.Logf("%d recording rules have values", len(names))
}

// panelsShowData runs each query of each panel of the dashboards that the cluster was given.
func (c *cluster) panelsShowData(t *testing.T) {
	// No metric of these is in a cluster without kube-state-metrics.
	haveState, err := c.prom.query(`count({__name__=~"kube_.+"})`)
	if err != nil {
		t.Fatal(err)
	}
	var maps struct {
		Items []struct{ Data map[string]string }
	}
	out := kubectl(t, "get", "configmaps", "--selector", "grafana_dashboard=1", "--output", "json")
	if err := json.Unmarshal([]byte(out), &maps); err != nil {
		t.Fatal(err)
	}
	// What Grafana would put in the place of its variables.
	variables := strings.NewReplacer("$namespace", namespace, "$release", release, "$__rate_interval", "1m", "$__range", "15m", "$__interval", "15s", "$testid", ".*")
	type query struct {
		expr    string
		instant bool
	}
	queries, excepted := map[string]query{}, []string{}
	type panel struct {
		Title, Type, Description string
		FieldConfig              struct {
			Defaults struct {
				Unit       string
				Thresholds struct{ Steps []struct{ Value any } }
			}
		}
		Targets []struct {
			Expr    string
			Instant bool
		}
	}
	dashboards := 0
	for _, item := range maps.Items {
		for file, text := range item.Data {
			dashboards++
			var d struct{ Panels []panel }
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, p := range d.Panels {
				if p.Type == "row" {
					continue
				}
				if p.Description == "" || p.FieldConfig.Defaults.Unit == "" {
					t.Errorf("%s: panel %q has no description or no unit", file, p.Title)
				}
				for _, q := range p.Targets {
					if strings.Contains(q.Expr, "kube_") && len(haveState) == 0 {
						excepted = append(excepted, p.Title)
						continue
					}
					queries[file+": "+p.Title+": "+q.Expr] = query{variables.Replace(q.Expr), q.Instant}
				}
			}
		}
	}
	asked := len(queries)
	eventually(t, 2*time.Minute, "data for each query", func() error {
		var errs []error
		for name, q := range queries {
			some, err := c.prom.shows(q.expr, q.instant)
			switch {
			case err != nil:
				errs = append(errs, err)
			case !some:
				errs = append(errs, fmt.Errorf("no data: %s", name))
			default:
				delete(queries, name)
			}
		}
		return errors.Join(errs...)
	})
	if dashboards != 2 || asked < 60 {
		t.Errorf("got %d dashboards with %d queries", dashboards, asked)
	}
	t.Logf("%d queries of %d dashboards return data; without kube-state-metrics not asked: %v", asked, dashboards, slices.Compact(excepted))
}

// traces asks whether one request gives one tree, whole and without a value of what was written.
func traces(t *testing.T, user *client, spans *collector) {
	const secret = "observación confidencial"
	for _, tc := range []struct {
		method, path, route string
		status              int
		body                any
		systems             []string // whose spans the tree must have
	}{
		{"POST", "/api/mantenimientos/agregar", "/api/mantenimientos/agregar", 201, maintenance("SLO-3", secret), []string{"mongodb"}},
		{"GET", "/api/mantenimientos/informe?codigo=SLO-3", "/api/mantenimientos/informe", 200, nil, []string{"mysql", "mongodb"}},
	} {
		trace := fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()|1)
		caller := fmt.Sprintf("%016x", rand.Uint64()|1)
		user.must(t, tc.status, tc.method, tc.path, tc.body, http.Header{"Traceparent": {fmt.Sprintf("00-%s-%s-01", trace, caller)}})
		var tree []span
		eventually(t, time.Minute, "the spans of "+tc.route, func() error {
			tree = spans.of(trace)
			systems := map[string]bool{}
			whole := false
			for _, s := range tree {
				systems[system(s)] = true
				whole = whole || s.parent == caller
			}
			for _, want := range tc.systems {
				whole = whole && systems[want]
			}
			if !whole {
				return fmt.Errorf("so far %s", names(tree))
			}
			return nil
		})
		byID := map[string]span{}
		for _, s := range tree {
			byID[s.id] = s
		}
		roots := 0
		for _, s := range tree {
			if s.parent == caller {
				roots++
				if want := tc.method + " " + tc.route; s.name != want || s.kind != ptrace.SpanKindServer {
					t.Errorf("the root is %q, a %v; want %q, a server's", s.name, s.kind, want)
				}
				if s.attributes["http.route"] != tc.route || s.resource["service.name"] != "siglab" || s.resource["service.instance.id"] == "" {
					t.Errorf("root: attributes %v, resource %v", s.attributes, s.resource)
				}
			} else if _, ok := byID[s.parent]; !ok {
				t.Errorf("%q has a parent that is not in the trace", s.name)
			}
			for k, v := range s.attributes {
				if strings.Contains(v, secret) || strings.Contains(v, "SLO-3") {
					t.Errorf("%q: %s holds a value: %q", s.name, k, v)
				}
			}
		}
		if roots != 1 {
			t.Errorf("%s: got %d roots, want 1", tc.route, roots)
		}
		t.Logf("%s %s: %s", tc.method, tc.route, names(tree))
	}
}

// exemplarsLeadToTraces: what a dot in a latency panel names is a trace that the collector has.
func (c *cluster) exemplarsLeadToTraces(t *testing.T, spans *collector) {
	eventually(t, time.Minute, "an exemplar of a known trace", func() error {
		ids, err := c.prom.exemplars(fmt.Sprintf(`http_server_request_duration_seconds_bucket{namespace=%q,job=%q}`, namespace, release))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if len(spans.of(id)) > 0 {
				return nil
			}
		}
		return fmt.Errorf("%d exemplars, none of a trace that was received", len(ids))
	})
}

// system is the data store of a client's span.
func system(s span) string {
	if v := s.attributes["db.system.name"]; v != "" {
		return v
	}
	return s.attributes["db.system"]
}

func names(tree []span) string {
	var all []string
	for _, s := range tree {
		if sys := system(s); sys != "" {
			all = append(all, sys+" "+s.name)
		} else {
			all = append(all, s.name)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " | ")
}

// pagesAndClears breaks something and waits for the page, mends it and waits for the end of the page. The limits are the windows of
// short-values.yaml: a total fault passes 14.4 times either budget within the long window (2 m), samples are 30 s wide, and scrape,
// evaluation and the fault itself take their time. The page ends when the short windows (30 s and 1 m) are clean.
func (c *cluster) pagesAndClears(t *testing.T, alert string, fault, mend func()) {
	eventually(t, 6*time.Minute, "silence before the fault", func() error {
		if c.prom.firing(t, alert, "page") {
			return errors.New("it fires")
		}
		return nil
	})
	fault()
	mended := false
	defer func() {
		if !mended {
			mend()
		}
	}()
	fired := eventually(t, 3*time.Minute+30*time.Second, alert+" fires", func() error {
		if !c.prom.firing(t, alert, "page") {
			samples, _ := c.prom.query(fmt.Sprintf(`{__name__=~"job:siglab_(errors|slow):ratio_rate(30s|1m|2m|4m)",namespace=%q}`, namespace))
			var now []string
			for _, s := range samples {
				now = append(now, fmt.Sprintf("%s=%.3f", s.Metric["__name__"], s.Value))
			}
			return fmt.Errorf("it does not: %v", now)
		}
		return nil
	})
	mend()
	mended = true
	cleared := eventually(t, 4*time.Minute, alert+" clears", func() error {
		if c.prom.firing(t, alert, "page") {
			return errors.New("it fires")
		}
		return nil
	})
	t.Logf("%s fired %v after the fault began and cleared %v after it ended", alert, fired, cleared)
}

// whoServedHowMany asks the dashboard's own query for the requests of each server_id and compares it with what the client was
// told in X-Server-ID, while pods come and go. It uses a route that nothing else has used.
func (c *cluster) whoServedHowMany(t *testing.T, user *client) {
	const route = "/api/auth/usuarios/activos"
	told := map[string]float64{}
	ask := func(n int) {
		for range n {
			res, _ := user.must(t, 200, "GET", route, nil, nil)
			told[res.Header.Get("X-Server-ID")]++
		}
	}
	expr := strings.NewReplacer("@C", fmt.Sprintf(`http_server_request_duration_seconds_count{namespace=%q,job=%q,http_route=%q}`, namespace, release, route)).
		Replace(`sum by (server_id) (max_over_time(@C[15m]) - (@C offset 15m or 0 * max_over_time(@C[15m])))`)
	agree := func() error {
		samples, err := c.prom.query(expr)
		if err != nil {
			return err
		}
		got := map[string]float64{}
		for _, s := range samples {
			got[s.Metric["server_id"]] = s.Value
		}
		if !maps.Equal(got, told) {
			return fmt.Errorf("Prometheus says %v, the clients were told %v", got, told)
		}
		return nil
	}
	ask(60)
	eventually(t, time.Minute, "agreement before", agree)
	gone := readyPods(t)[0]
	before := len(readyPods(t))
	kubectl(t, "delete", "pod", gone, "--wait")
	eventually(t, 3*time.Minute, "another pod", func() error {
		if n := len(readyPods(t)); n < before {
			return fmt.Errorf("%d ready", n)
		}
		return nil
	})
	ask(60)
	eventually(t, time.Minute, "agreement after", agree)
	if told[gone] == 0 || len(told) < 4 {
		t.Errorf("got %v, want the pod that has gone and those that have come", told)
	}
	t.Logf("%d requests: %v", 120, told)
}
