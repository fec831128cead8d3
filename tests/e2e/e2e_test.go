package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// suite is what the steps of one run share.
type suite struct {
	release
	image   []string // the values that name the image
	values  []string // all values of the release from its first upgrade on
	next    string   // a later version's image
	admin   map[string]string
	ingress *client
	load    *load
}

const (
	ingressHost = "siglab.e2e.test"
	routeHost   = "siglab-gateway.e2e.test"
)

// TestRelease tells the life of one release, in order. Without an installation that serves, the rest says nothing.
func TestRelease(t *testing.T) {
	if out, err := try(time.Minute, "", "kubectl", "version"); err != nil {
		t.Fatalf("no cluster answers: %v %s", err, out)
	}
	s := &suite{release: release{"siglab", "siglab-e2e-" + strconv.FormatInt(time.Now().Unix()%1e6, 36)}}
	s.image = imageValues(setting("IMAGE", "siglab:dev"))
	s.next = nextImage(t, s.namespace)
	makeNamespace(t, s.namespace, "restricted")
	base := setting("INGRESS_URL", "http://127.0.0.1:8080")
	s.ingress = &client{base: base, host: ingressHost, http: &http.Client{Timeout: 40 * time.Second}}
	t.Cleanup(func() {
		if s.load != nil {
			t.Logf("what clients saw:\n%s", s.load.table())
		}
	})
	for i, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Install", s.install},
		{"FrontEnd", s.frontEnd},
		{"LoadWithoutLoss", s.loaded},
		{"Killed", s.killed},
		{"StoresDeleted", s.storesDeleted},
		{"Refusals", s.refusals},
		{"UninstallAndAgain", s.uninstallAndAgain},
	} {
		if !t.Run(step.name, step.run) {
			t.Logf("the release as it was left:\n%s", s.state())
			if i < 2 {
				return
			}
		}
	}
}

func imageValues(ref string) []string {
	i := strings.LastIndex(ref, ":")
	return []string{"--set-string", "image.repository=" + ref[:i] + ",image.tag=" + ref[i+1:]}
}

// nextImage returns the image of a later version: these sources, with one migration more.
func nextImage(t *testing.T, suffix string) string {
	t.Helper()
	if ref := os.Getenv("NEXT_IMAGE"); ref != "" {
		return ref
	}
	build := os.Getenv("BUILD_IMAGE")
	if build == "" {
		t.Fatal("set NEXT_IMAGE to an image of a later version, or BUILD_IMAGE to a command that builds one: it is called with a tag and a folder")
	}
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "app"), os.DirFS(filepath.Join(root, "app"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Dockerfile", ".dockerignore", "go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source := filepath.Join(dir, "app/mysql/migrate.go")
	b, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`(?m)^const version = (\d+)$`)
	found := constant.FindSubmatch(b)
	if found == nil {
		t.Fatalf("%s has no line %s", source, constant)
	}
	version, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	version++
	if err := os.WriteFile(source, constant.ReplaceAll(b, fmt.Appendf(nil, "const version = %d", version)), 0o644); err != nil {
		t.Fatal(err)
	}
	migration := "-- +goose NO TRANSACTION\n-- +goose Up\nALTER TABLE maquinas ADD COLUMN nota_e2e VARCHAR(20) NULL;\n"
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("app/mysql/migrations/%05d_nota_e2e.sql", version)), []byte(migration), 0o644); err != nil {
		t.Fatal(err)
	}
	ref := "siglab:next-" + suffix
	began := time.Now()
	if out, err := try(9*time.Minute, "", "sh", "-c", build+` "$@"`, "build", ref, dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("built %s, with migration %d, in %s", ref, version, time.Since(began).Round(time.Second))
	return ref
}

// upgrade runs helm upgrade with the release's values and more, and waits.
func (s *suite) upgrade(t *testing.T, more ...string) {
	t.Helper()
	s.helm(t, slices.Concat([]string{"upgrade", s.name, chartDir, "--wait", "--timeout", "5m"}, s.values, more)...)
}

// install is the one command, with default values, where Pod Security "restricted" is enforced; then helm's own tests.
func (s *suite) install(t *testing.T) {
	began := time.Now()
	out := s.helm(t, slices.Concat([]string{"install", s.name, chartDir, "--wait", "--timeout", "5m"}, s.image)...)
	t.Logf("helm install --wait took %s", time.Since(began).Round(time.Second))
	if !strings.Contains(out, "helm -n "+s.namespace+" test "+s.name) {
		t.Error("the notes do not say how to test the release")
	}
	s.settled(t, 2*time.Minute, 3)
	for _, p := range s.pods(t, "api") {
		if n := p.restarts(); n != 0 {
			t.Errorf("%s started %d times before it was ready", p.Metadata.Name, n+1)
		}
	}
	out = s.helm(t, "test", s.name, "--logs", "--timeout", "3m")
	if !strings.Contains(out, "eliminar") {
		t.Errorf("helm test shows nothing of what it did:\n%s", out)
	}
	s.admin = s.secret(t, "siglab-auth")
}

// frontEnd goes through both doors.
func (s *suite) frontEnd(t *testing.T) {
	s.values = slices.Concat(s.image, []string{"--set", "ingress.enabled=true,ingress.hosts[0].host=" + ingressHost + ",ingress.hosts[0].paths[0].path=/,ingress.hosts[0].paths[0].pathType=Prefix",
		"--set", "ingress.className=" + os.Getenv("INGRESS_CLASS"), "--set", "config.trustedProxies={" + setting("PROXY_CIDR", "0.0.0.0/0") + "}"})
	gateway, ok := os.LookupEnv("GATEWAY")
	if !ok {
		gateway = "gateway/public"
	}
	if gateway != "" {
		ns, name, _ := strings.Cut(gateway, "/")
		s.values = append(s.values, "--set", fmt.Sprintf("httpRoute.enabled=true,httpRoute.hostnames={%s},httpRoute.parentRefs[0].name=%s,httpRoute.parentRefs[0].namespace=%s", routeHost, name, ns))
	}
	s.upgrade(t)
	s.settled(t, 2*time.Minute, 3)
	doors := map[string]*client{"Ingress": s.ingress}
	if gateway != "" {
		doors["HTTPRoute"] = &client{base: setting("GATEWAY_URL", s.ingress.base), host: routeHost, http: s.ingress.http}
	}
	for door, c := range doors {
		t.Run(door, func(t *testing.T) {
			until(t, time.Minute, "the "+door, func() (bool, string) {
				a, err := c.call("GET", "/api/sistema/health", nil)
				return err == nil && a.status == 200, fmt.Sprint(a.status, err)
			})
			frontEnd(t, c.base, c.host, s.admin["admin-username"], s.admin["admin-password"], "FE-"+strings.ToUpper(door))
			t.Logf("instances that answered: %s", strings.Join(servers(t, c, 3), ", "))
		})
	}
}

// startLoad logs in through a proxy and sends load through it, until its end or the test's.
func (s *suite) startLoad(t *testing.T, c *client, prefix string) *load {
	t.Helper()
	rate, err := strconv.Atoi(setting("RATE", "120"))
	if err != nil {
		t.Fatal(err)
	}
	c.login(t, s.admin["admin-username"], s.admin["admin-password"])
	l := startLoad(c, prefix, rate)
	t.Cleanup(l.end)
	until(t, time.Minute, "machines to work with", func() (bool, string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.live) > machinesKept/2, fmt.Sprint(len(l.live))
	})
	return l
}

// nothingLost ends the load and compares what was acknowledged with what is there.
func (s *suite) nothingLost(t *testing.T, l *load) {
	t.Helper()
	l.end()
	differences, machines, records := l.compare(t)
	t.Logf("compared %d machines, %d records and %d removals with what was acknowledged; %d codes were left out because an answer to them was lost", machines, records, len(l.gone), len(l.doubtful))
	if len(differences) > 0 {
		t.Errorf("%d differences:\n%s", len(differences), strings.Join(differences[:min(20, len(differences))], "\n"))
	}
	if machines < machinesKept/4 || records == 0 {
		t.Errorf("only %d machines and %d records could be compared", machines, records)
	}
}

// loaded keeps a steady load on while the release goes through what operation brings, and wants every request answered as it must be.
func (s *suite) loaded(t *testing.T) {
	s.load = s.startLoad(t, s.ingress, "CARGA")
	l := s.load
	rate := l.rate.Load()
	// during runs one act under load, gives what it sets off time to show, and wants no failure.
	during := func(name string, act func(t *testing.T)) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			p := l.enter(name)
			act(t)
			s.quiet(l, 3*time.Second)
			l.enter("between")
			l.mu.Lock()
			defer l.mu.Unlock()
			if p.failed > 0 {
				t.Errorf("%d of %d requests failed, want none:\n%s", p.failed, p.requests, strings.Join(p.said, "\n"))
			}
			if rate := float64(p.requests) / p.lasted.Seconds(); rate < 100 {
				t.Errorf("the load was %.0f requests a second, want 100 or more", rate)
			}
		})
	}

	during("steady", func(t *testing.T) { s.quiet(l, 10*time.Second) })
	s.watchResources(t)

	during("rollout restart", func(t *testing.T) {
		s.kubectl(t, "rollout", "restart", "deployment/"+s.name)
		s.kubectl(t, "rollout", "status", "deployment/"+s.name, "--timeout=3m")
		s.settled(t, 2*time.Minute, 3)
	})

	before := s.schema(t)
	during("upgrade with migration", func(t *testing.T) {
		s.helm(t, slices.Concat([]string{"upgrade", s.name, chartDir, "--wait", "--timeout", "5m"}, s.values, imageValues(s.next))...)
		s.settled(t, 2*time.Minute, 3)
	})
	if got := s.schema(t); got != before+1 {
		t.Errorf("the schema is at %d after the upgrade, want %d", got, before+1)
	}

	during("rollback", func(t *testing.T) {
		s.helm(t, "rollback", s.name, "--wait", "--timeout", "5m")
		s.settled(t, 2*time.Minute, 3)
	})

	during("pod deleted", func(t *testing.T) {
		gone := s.pods(t, "api")[0].Metadata.Name
		s.kubectl(t, "delete", "pod", gone)
		s.settled(t, 2*time.Minute, 3)
	})

	during("eviction", s.evict)

	// The HPA at work: its target lies a seventh above what the steady load needs, and the waiting is cut short that its defaults have for the
	// sake of calm. Then the load grows by eight tenths. What a pod needs grows by less, since requests at the same time share their trips to
	// Redis, and the HPA acts when it is a tenth above its target.
	usual := s.watchResources(t)
	during("HPA scales up", func(t *testing.T) {
		s.upgrade(t, "--set", "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=15,autoscaling.behavior.scaleDown.selectPolicy=Max,"+
			"autoscaling.behavior.scaleDown.policies[0].type=Pods,autoscaling.behavior.scaleDown.policies[0].value=4,autoscaling.behavior.scaleDown.policies[0].periodSeconds=15,"+
			"autoscaling.behavior.scaleDown.policies[1].type=Percent,autoscaling.behavior.scaleDown.policies[1].value=100,autoscaling.behavior.scaleDown.policies[1].periodSeconds=15",
			"--set", fmt.Sprintf("autoscaling.maxReplicas=5,autoscaling.targetCPUUtilizationPercentage=%.0f", max(10, usual*1000*1.15)))
		l.rate.Store(rate * 18 / 10)
		took := until(t, 3*time.Minute, "more than 3 ready pods", func() (bool, string) {
			ready := 0
			for _, p := range s.pods(t, "api") {
				if p.ready() {
					ready++
				}
			}
			return ready > 3, s.state()
		})
		t.Logf("more than 3 pods after %s", took.Round(time.Second))
		s.watchResources(t)
	})
	during("HPA scales down", func(t *testing.T) {
		l.rate.Store(rate)
		took := s.settled(t, 4*time.Minute, 3)
		t.Logf("3 pods again after %s", took.Round(time.Second))
	})

	for _, p := range s.pods(t, "api") {
		if p.restarts() > 0 {
			t.Errorf("%s was restarted %d times under load", p.Metadata.Name, p.restarts())
		}
	}

	t.Run("Wrong_password", s.wrongPassword)

	s.nothingLost(t, l)
	s.upgrade(t)
}

// quiet lets the load run on for a while: the measurement itself is what is waited for.
func (s *suite) quiet(l *load, d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.stop:
	}
}

// evict asks for two pods at once through the Eviction API: the budget gives one and refuses the other.
func (s *suite) evict(t *testing.T) {
	evict := func(name string) (string, error) {
		body := fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, name, s.namespace)
		return try(time.Minute, body, "kubectl", "create", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/eviction", s.namespace, name), "-f", "-")
	}
	pods := s.pods(t, "api")
	if out, err := evict(pods[0].Metadata.Name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := evict(pods[1].Metadata.Name); err == nil || !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("a second eviction at once: got %v %s, want a refusal by the disruption budget", err, out)
	}
	s.settled(t, 2*time.Minute, 3)
}

// killed kills the process of each pod in turn, as the kernel does when memory runs out, under load through a Traefik that tries another pod when
// one takes no connection. Nothing drains, so what was in flight on the pod is lost, and nobody sends it again. That alone may fail, and what was
// acknowledged must be there once.
func (s *suite) killed(t *testing.T) {
	served := func(c *client) {
		until(t, time.Minute, "the Ingress", func() (bool, string) {
			a, err := c.call("GET", "/api/sistema/health", nil)
			return err == nil && a.status == 200, fmt.Sprint(a.status, err)
		})
	}
	proxy := s.startProxy(t)
	t.Cleanup(func() {
		s.upgrade(t)
		served(s.ingress)
	})
	// As many pods as there are, so that each one killed is one that was there before.
	s.upgrade(t, "--set", "traefikRetry.ingress=true,ingress.className="+proxy.class+",networkPolicy.controllerNamespaces={"+proxy.namespace+"},autoscaling.maxReplicas=3")
	s.settled(t, 2*time.Minute, 3)
	c := &client{base: proxy.url, host: ingressHost, http: s.ingress.http}
	served(c)
	l := s.startLoad(t, c, "MUERTE")
	t.Cleanup(func() {
		l.end()
		t.Logf("what clients saw:\n%s", l.table())
	})
	killers := s.namespace + "-kill"
	makeNamespace(t, killers, "privileged")
	for i, victim := range s.pods(t, "api") {
		name := victim.Metadata.Name
		t.Run(fmt.Sprintf("Pod_%d", i+1), func(t *testing.T) {
			p := l.enter(fmt.Sprintf("SIGKILL of pod %d", i+1))
			kill := s.killer(t, killers, name)
			tries, answers := proxy.badGateways(t)
			from, to := kill()
			until(t, time.Minute, "the restart", func() (bool, string) {
				for _, x := range s.pods(t, "api") {
					if x.Metadata.Name == name {
						return x.restarts() == victim.restarts()+1 && x.ready(), fmt.Sprintf("%+v", x.Status)
					}
				}
				return false, "the pod is gone"
			})
			s.quiet(l, 3*time.Second)
			triesAfter, answersAfter := proxy.badGateways(t)
			again := triesAfter - tries - (answersAfter - answers)
			l.mu.Lock()
			defer l.mu.Unlock()
			inFlight, failed := p.inFlight(from, to)
			t.Logf("%s died within %s, with %d requests in flight in that time, of which %d failed; of %d requests in all %d failed, and the proxy tried another pod %d times",
				name, to.Sub(from).Round(time.Millisecond), inFlight, failed, p.requests, p.failed, again)
			if p.failed > failed {
				t.Errorf("%d requests failed that were not in flight when the pod died:\n%s", p.failed-failed, strings.Join(p.said, "\n"))
			}
			if again == 0 {
				t.Error("no request was sent to the dead pod, so that nothing was shown")
			}
			if rate := float64(p.requests) / time.Since(p.began).Seconds(); rate < 100 {
				t.Errorf("the load was %.0f requests a second, want 100 or more", rate)
			}
		})
	}
	s.nothingLost(t, l)
}

// killer returns a function that kills the pod's process, and says between which two moments it died: just before the signal could be sent,
// and when the process was seen to be gone.
func (s *suite) killer(t *testing.T, namespace, victim string) func() (from, to time.Time) {
	t.Helper()
	pod := map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": victim, "namespace": namespace},
		"spec": map[string]any{
			"hostPID": true, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "nodeName": s.kubectl(t, "get", "pod", victim, "-o", "jsonpath={.spec.nodeName}"),
			"containers": []any{map[string]any{
				"name": "kill", "image": "redis:8.2-alpine", "command": []string{"/bin/busybox", "sleep", "600"},
				"securityContext": map[string]any{"privileged": true, "runAsUser": 0},
			}},
		},
	}
	manifest, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, string(manifest))
	release{namespace: namespace}.kubectl(t, "wait", "pod/"+victim, "--for=condition=Ready", "--timeout=1m")
	// Its entry in /proc goes when its last thread has ended, and so after its connections.
	script := `for d in /proc/[0-9]*; do
  if /bin/busybox tr '\0' '\n' 2>/dev/null <$d/environ | /bin/busybox grep -qx "POD_NAME=$0" && /bin/busybox grep -q serve $d/cmdline; then
    echo found; read go; kill -9 ${d#/proc/}
    while [ -d $d ]; do :; done
    echo gone; exit
  fi
done`
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "kubectl", "-n", namespace, "exec", "-i", victim, "--", "sh", "-c", script, victim)
	var errs strings.Builder
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	said := func(want string) {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the killer of %s says %q and not %q: %v %s", victim, lines.Text(), want, cmd.Wait(), errs.String())
		}
	}
	said("found")
	return func() (from, to time.Time) {
		from = time.Now()
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
		said("gone")
		to = time.Now()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		return from, to
	}
}

// wrongPassword breaks the database's password under load: the new pods say so in their log, and the old ones go on serving.
func (s *suite) wrongPassword(t *testing.T) {
	l := s.load
	right := s.secret(t, "siglab-mysql")["mysql-password"]
	patch := func(password string) {
		s.kubectl(t, "patch", "secret", "siglab-mysql", "--type=merge", "-p", fmt.Sprintf(`{"stringData":{"mysql-password":%q}}`, password))
	}
	p := l.enter("wrong password")
	patch("not-the-password")
	_, err := s.tryHelm(2*time.Minute, slices.Concat([]string{"upgrade", s.name, chartDir, "--wait", "--timeout", "45s"}, s.values)...)
	if err == nil {
		t.Error("helm says that a release that cannot reach its database is fine")
	}
	logs := s.kubectl(t, "logs", "-l", "app.kubernetes.io/instance="+s.name+",app.kubernetes.io/component=api", "-c", "migrate", "--tail=20", "--prefix")
	if !regexp.MustCompile(`(?i)mysql.*(password|denied)`).MatchString(logs) {
		t.Errorf("no log of a migration names the cause:\n%s", logs)
	}
	if strings.Contains(logs, "not-the-password") {
		t.Error("a log shows the password")
	}
	patch(right)
	s.upgrade(t)
	s.settled(t, 2*time.Minute, 3)
	s.quiet(l, 3*time.Second)
	l.enter("between")
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.failed > 0 {
		t.Errorf("%d of %d requests failed while a release failed, want none:\n%s", p.failed, p.requests, strings.Join(p.said, "\n"))
	}
}

// watchResources holds each pod to its limits by what metrics-server measures, and returns the median pod's use of CPU. A pod requests a
// tenth of a CPU, so that this times 1000 is the HPA's percentage.
func (s *suite) watchResources(t *testing.T) float64 {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata   struct{ Name string }
			Containers []struct {
				Name  string
				Usage struct{ CPU, Memory string }
			}
		}
	}
	path := fmt.Sprintf("/apis/metrics.k8s.io/v1beta1/namespaces/%s/pods?labelSelector=app.kubernetes.io/component%%3Dapi", s.namespace)
	until(t, time.Minute, "figures of the pods", func() (bool, string) {
		out, err := try(time.Minute, "", "kubectl", "get", "--raw", path)
		return err == nil && json.Unmarshal([]byte(out), &list) == nil && len(list.Items) >= 3, fmt.Sprint(out, err)
	})
	var uses []float64
	for _, p := range list.Items {
		for _, c := range p.Containers {
			if c.Name != "siglab" {
				continue
			}
			cpu, memory := quantity(t, c.Usage.CPU), quantity(t, c.Usage.Memory)
			uses = append(uses, cpu)
			t.Logf("%s uses %.0f m of CPU and %.0f MiB", p.Metadata.Name, cpu*1000, memory/(1<<20))
			if memory > 512e6 {
				t.Errorf("%s uses %.0f bytes, more than 512 MB", p.Metadata.Name, memory)
			}
			if cpu > 1 {
				t.Errorf("%s uses %.2f CPUs, more than its limit of 1", p.Metadata.Name, cpu)
			}
		}
	}
	slices.Sort(uses)
	return uses[len(uses)/2]
}

// quantity reads the forms in which metrics-server writes CPU and memory.
func quantity(t *testing.T, text string) float64 {
	t.Helper()
	for _, u := range []struct {
		suffix string
		factor float64
	}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"n", 1e-9}, {"u", 1e-6}, {"m", 1e-3}, {"", 1}} {
		if number, ok := strings.CutSuffix(text, u.suffix); ok {
			v, err := strconv.ParseFloat(number, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v * u.factor
		}
	}
	return 0
}

// schema is the version of the tables, as MySQL has it.
func (s *suite) schema(t *testing.T) int {
	t.Helper()
	out := s.kubectl(t, "exec", s.name+"-mysql-0", "--", "sh", "-c",
		`MYSQL_PWD="$MYSQL_PASSWORD" mysql -h 127.0.0.1 -u "$MYSQL_USER" -N -B "$MYSQL_DATABASE" -e 'SELECT MAX(version_id) FROM goose_db_version WHERE is_applied = 1'`)
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// storesDeleted deletes the bundled databases' pods: what was there is there again, and the service finds it without a restart.
func (s *suite) storesDeleted(t *testing.T) {
	c := s.ingress
	c.want(t, 201, "POST", "/api/maquinas/agregar", machine("DURABLE-1", "Servidores"), nil)
	c.want(t, 201, "POST", "/api/mantenimientos/agregar", record("DURABLE-1"), nil)
	restarts := map[string]int{}
	for _, p := range s.pods(t, "api") {
		restarts[p.Metadata.Name] = p.restarts()
	}
	for _, store := range []string{"mysql", "mongo"} {
		s.kubectl(t, "delete", "pod", s.name+"-"+store+"-0")
		took := until(t, 3*time.Minute, "the service without "+store, func() (bool, string) {
			write, err := c.call("PUT", "/api/maquinas/actualizar", map[string]string{"codigo_equipo": "DURABLE-1", "area": "Tras " + store})
			if err != nil || write.status != 200 {
				return false, fmt.Sprint(write.status, string(write.body), err)
			}
			history, err := c.call("GET", "/api/mantenimientos/historial/DURABLE-1", nil)
			if err != nil || history.status != 200 {
				return false, fmt.Sprint(history.status, string(history.body), err)
			}
			var records []any
			if err := json.Unmarshal(history.body, &records); err != nil || len(records) != 1 {
				t.Fatalf("%d records after %s came back, want 1", len(records), store)
			}
			return true, ""
		})
		t.Logf("%s's pod deleted: writes and reads work again %s after its end", store, took.Round(100*time.Millisecond))
	}
	differences, machines, records := s.load.compare(t)
	if len(differences) > 0 {
		t.Errorf("of %d machines and %d records: %s", machines, records, strings.Join(differences[:min(20, len(differences))], "\n"))
	}
	for _, p := range s.pods(t, "api") {
		if before, ok := restarts[p.Metadata.Name]; !ok || p.restarts() != before {
			t.Errorf("%s was restarted because a database was away", p.Metadata.Name)
		}
	}
	var health struct{ Status string }
	until(t, time.Minute, "health", func() (bool, string) {
		c.want(t, 200, "GET", "/api/sistema/health", nil, &health)
		return health.Status == "ok", health.Status
	})
}

// refusals are releases that must not begin: helm says why, and what runs is not touched.
func (s *suite) refusals(t *testing.T) {
	before := s.kubectl(t, "get", "deployment", s.name, "-o", "jsonpath={.metadata.generation}")
	for _, tt := range []struct{ name, set, says string }{
		{"a typo", "replicaCuont=3", "replicaCuont"},
		{"a value of the wrong kind", "autoscaling.maxReplicas=many", "maxReplicas"},
		{"more connections than the database has", "mysql.poolSize=100", "mysql.maxConnections is 151"},
		{"a Secret that is not there", "auth.existingSecret=nowhere", `Secret "nowhere", which auth.existingSecret names, is not in namespace`},
		{"a store without its password", "redis.enabled=false,redis.external.host=redis.example.edu", "redis.auth.existingSecret"},
	} {
		_, err := s.tryHelm(2*time.Minute, slices.Concat([]string{"upgrade", s.name, chartDir, "--wait", "--timeout", "1m"}, s.values, []string{"--set", tt.set})...)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want a refusal with %q", tt.name, err, tt.says)
		}
	}
	if after := s.kubectl(t, "get", "deployment", s.name, "-o", "jsonpath={.metadata.generation}"); after != before {
		t.Errorf("a refused release changed the Deployment (generation %s, was %s)", after, before)
	}
	s.ingress.want(t, 200, "GET", "/api/maquinas/listar", nil, nil)
}

// uninstallAndAgain takes the release away, looks at what is left, installs the previous commit's chart over it, and upgrades to this one.
func (s *suite) uninstallAndAgain(t *testing.T) {
	secrets := map[string]map[string]string{}
	for _, name := range []string{"siglab-auth", "siglab-mysql", "siglab-mongo", "siglab-redis"} {
		secrets[name] = s.secret(t, name)
	}
	s.helm(t, "uninstall", s.name, "--wait", "--timeout", "3m")
	var left []string
	until(t, 2*time.Minute, "the last pod's end", func() (bool, string) {
		left = s.left(t)
		return !slices.ContainsFunc(left, func(o string) bool { return strings.HasPrefix(o, "pod/") }), strings.Join(left, ", ")
	})
	want := []string{
		"persistentvolumeclaim/data-siglab-mongo-0", "persistentvolumeclaim/data-siglab-mysql-0",
		"secret/siglab-auth", "secret/siglab-mongo", "secret/siglab-mysql", "secret/siglab-redis",
	}
	if !slices.Equal(left, want) {
		t.Errorf("an uninstall leaves %q, want %q", left, want)
	}

	previous := s.previousChart(t)
	s.helm(t, slices.Concat([]string{"install", s.name, previous, "--wait", "--timeout", "5m"}, s.values)...)
	check := func(when string) {
		s.settled(t, 2*time.Minute, 3)
		for name, before := range secrets {
			for key, v := range s.secret(t, name) {
				if v != before[key] {
					t.Errorf("%s: %s of %s is another one", when, key, name)
				}
			}
		}
		until(t, time.Minute, "the Ingress", func() (bool, string) {
			a, err := s.ingress.call("GET", "/api/sistema/health", nil)
			return err == nil && a.status == 200, fmt.Sprint(a.status, err)
		})
		// The old session holds: the signing key is the same.
		var found struct{ Codigo string }
		s.ingress.want(t, 200, "GET", "/api/maquinas/buscar?codigo=DURABLE-1", nil, &found)
		var history []any
		s.ingress.want(t, 200, "GET", "/api/mantenimientos/historial/DURABLE-1", nil, &history)
		if len(history) != 1 {
			t.Errorf("%s: %d records of DURABLE-1, want 1", when, len(history))
		}
	}
	check("installed over what was left")
	s.upgrade(t)
	check("upgraded from the previous commit's chart")
	s.helm(t, "test", s.name, "--timeout", "3m")
	s.helm(t, "uninstall", s.name, "--wait", "--timeout", "3m")
}

// left lists every object of the namespace that belongs to the release, of every kind that the API server has.
func (s *suite) left(t *testing.T) []string {
	t.Helper()
	kinds := strings.Fields(s.kubectl(t, "api-resources", "--verbs=list", "--namespaced", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(k string) bool {
		return strings.HasPrefix(k, "events") || strings.HasSuffix(k, ".metrics.k8s.io") || strings.HasPrefix(k, "endpoints")
	})
	out := s.kubectl(t, "get", strings.Join(kinds, ","), "-l", "app.kubernetes.io/instance="+s.name, "-o", "name", "--ignore-not-found")
	names := strings.Fields(out)
	slices.Sort(names)
	return slices.Compact(names)
}

// previousChart returns the chart as the commit before the last change of it had it, or this one where the history is not at hand.
func (s *suite) previousChart(t *testing.T) string {
	t.Helper()
	out, err := try(time.Minute, "", "git", "log", "-n", "2", "--format=%H", "--", chartDir)
	commits := strings.Fields(out)
	if err != nil || len(commits) < 2 {
		t.Logf("no previous commit of the chart (%v): installing this one", err)
		return chartDir
	}
	dir := t.TempDir()
	if _, err := try(time.Minute, "", "sh", "-c", `git -C ../.. archive "$1" charts/siglab | tar -x -C "$2"`, "archive", commits[1], dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("the previous chart is of commit %s", commits[1])
	return filepath.Join(dir, "charts/siglab")
}
