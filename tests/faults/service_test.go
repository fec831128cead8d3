package faults_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The service's deadlines in these tests. They are shorter than in production, so that the tests are too; their order is the same:
// a request has more time than a dependency, and the databases have more than Redis.
const (
	requestTimeout = 5 * time.Second
	mysqlTimeout   = 1500 * time.Millisecond
	mongoTimeout   = 1500 * time.Millisecond
	redisTimeout   = 250 * time.Millisecond
	cacheTTL       = 2 * time.Second
)

// service is one instance of the program.
type service struct {
	t             testing.TB
	name          string
	program       string
	env           []string
	url, internal string // of its two listeners
	admin         credentials

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and cmd.ProcessState is set
	stderr bytes.Buffer
	logs   string // a file
}

type credentials struct{ username, password string }

// secrets are what all instances of one service share.
type secrets struct {
	key   string
	admin credentials
}

func newSecrets() secrets {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, as its documentation says
	return secrets{"k1:" + base64.StdEncoding.EncodeToString(key), credentials{"jefa", rand.Text()}}
}

// program is the built service.
func program(t testing.TB) string {
	t.Helper()
	path := os.Getenv("TEST_SIGLAB")
	if path == "" {
		path = "../../bin/siglab"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the service is not built: run `make build`, or name the program in TEST_SIGLAB: %v", err)
	}
	return path
}

// newService prepares an instance that reaches its servers through wires, or directly when w is nil. Later variables win.
func newService(t testing.TB, d *databases, w *wires, env ...string) *service {
	t.Helper()
	mysql, mongo, redis := d.dsn.Addr, d.mongoAddr, d.redisAddr
	if w != nil {
		mysql, mongo, redis = w.mysql.addr(), w.mongo.addr(), w.redis.addr()
	}
	s := &service{t: t, program: program(t), name: "s-" + strings.ToLower(rand.Text()[:4]), admin: d.secrets.admin}
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "GOTRACEBACK=all", "SERVER_ID=" + s.name, "HOST=127.0.0.1",
		"MYSQL_HOST=127.0.0.1", "MYSQL_PORT=" + port(mysql), "MYSQL_USER=" + d.name, "MYSQL_PASSWORD=" + d.password, "MYSQL_DATABASE=" + d.name,
		"MONGO_HOST=127.0.0.1", "MONGO_PORT=" + port(mongo), "MONGO_DATABASE=" + d.name,
		"REDIS_HOST=127.0.0.1", "REDIS_PORT=" + port(redis), "REDIS_PASSWORD=" + d.redisPassword,
		"TIMEOUT=" + seconds(requestTimeout), "MYSQL_TIMEOUT=" + mysqlTimeout.String(), "MONGO_TIMEOUT=" + mongoTimeout.String(),
		"REDIS_TIMEOUT=" + redisTimeout.String(), "REDIS_TTL=" + seconds(cacheTTL),
		"DRAIN_DELAY=0s", "BCRYPT_COST=10", "LOGIN_RATE_USER=1000000", "LOGIN_RATE_ADDRESS=1000000", "LOG_LEVEL=warn",
	}, d.secrets.env()...)
	s.env = append(s.env, env...)
	s.logs = filepath.Join(t.TempDir(), s.name+".log")
	t.Cleanup(func() {
		if s.running() {
			s.kill()
		}
		s.checkLog()
	})
	return s
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func (s secrets) env() []string {
	return []string{"JWT_KEYS=" + s.key, "ADMIN_USERNAME=" + s.admin.username, "ADMIN_PASSWORD=" + s.admin.password}
}

// command is the program with this instance's configuration.
func (s *service) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.program, args...)
	cmd.Env = s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a test that ends badly
	return cmd
}

// start runs the process; it need not be ready when start returns. The ports are chosen once, so that a process that is started again
// is found where it was.
func (s *service) start() {
	s.t.Helper()
	chosen := s.url != ""
	for {
		if !chosen {
			public, internal := freePort(), freePort()
			s.env = append(s.env, "PORT="+public, "METRICS_PORT="+internal)
			s.url, s.internal = "http://127.0.0.1:"+public, "http://127.0.0.1:"+internal
		}
		s.run()
		if chosen {
			return
		}
		// Another program may have taken a port meanwhile.
		eventually(s.t, "the listeners of "+s.name, func() bool { return !s.running() || s.get(s.internal+"/livez") == 200 })
		if s.running() || !bytes.Contains(s.stderr.Bytes(), []byte("address already in use")) {
			return
		}
	}
}

func (s *service) run() {
	s.t.Helper()
	log, err := os.OpenFile(s.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.stderr.Reset()
	s.cmd = s.command("serve")
	s.cmd.Stdout, s.cmd.Stderr = log, &s.stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = log.Close() // the process has its own
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(exited)
	}()
}

// freePort returns a port below the range that the kernel gives to outgoing connections, so that none of those takes it.
func freePort() string {
	for {
		port := strconv.Itoa(10_000 + mathrand.IntN(10_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
}

// port is the port of an address.
func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // an address of ours has one
	return port
}

func (s *service) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// ready waits until the service has started.
func (s *service) ready() {
	s.t.Helper()
	eventually(s.t, s.name+" to be ready", func() bool {
		if !s.running() {
			s.t.Fatalf("%s has ended: %s%s", s.name, s.stderr.String(), s.tail())
		}
		return s.get(s.internal+"/startupz") == 200
	})
}

// get returns the status of a GET, 0 when there is no answer.
func (s *service) get(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := lookers.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body) // the status is what was asked for
	_ = res.Body.Close()
	return res.StatusCode
}

// lookers leaves no connection behind in the service, where it would count as a goroutine.
var lookers = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (s *service) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
}

// kill ends the process as a power cut would.
func (s *service) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// terminate sends SIGTERM and waits for the end, which must be clean.
func (s *service) terminate() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.wait()
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("%s ended with exit code %d: %s%s", s.name, code, s.stderr.String(), s.tail())
	}
}

func (s *service) wait() {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(soon):
		s.t.Fatalf("%s does not end", s.name)
	}
}

// checkLog fails the test when the service panicked, and shows the end of its log when the test failed for whatever reason.
func (s *service) checkLog() {
	s.t.Helper()
	b, err := os.ReadFile(s.logs)
	if err != nil {
		return // it never ran
	}
	if bytes.Contains(b, []byte("panic")) || bytes.Contains(s.stderr.Bytes(), []byte("panic")) || bytes.Contains(s.stderr.Bytes(), []byte("fatal error")) {
		s.t.Errorf("%s panicked: %s", s.name, s.stderr.String())
	}
	if s.t.Failed() {
		s.t.Logf("the end of the log of %s:%s", s.name, s.tail())
	}
}

func (s *service) tail() string {
	b, err := os.ReadFile(s.logs)
	if err != nil {
		return ""
	}
	const most = 2500
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return "\n" + string(b)
}

// metrics reads some of the internal port's metrics: the sum over the labels of each name.
func (s *service) metrics() map[string]float64 {
	s.t.Helper()
	res, err := lookers.Get(s.internal + "/metrics")
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	defer res.Body.Close()
	found := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		series, text, _ := strings.Cut(lines.Text(), "} ")
		if !strings.Contains(lines.Text(), "{") {
			series, text, _ = strings.Cut(lines.Text(), " ")
		}
		name, _, _ := strings.Cut(series, "{")
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			found[name] += v
		}
	}
	if err := lines.Err(); err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	return found
}

// footprint is what a leak would make grow.
type footprint struct {
	goroutines int
	heap       uint64 // bytes alive after a collection
	resident   uint64 // bytes, now
	peak       uint64 // bytes resident at most, since the start
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, heap %.1f MB, resident %.1f MB, at most %.1f MB",
		f.goroutines, float64(f.heap)/1e6, float64(f.resident)/1e6, float64(f.peak)/1e6)
}

// footprint measures the process, after a collection.
func (s *service) footprint() footprint {
	s.t.Helper()
	if status := s.get(s.internal + "/debug/pprof/heap?gc=1"); status != 200 {
		s.t.Fatalf("%s: heap profile: status %d", s.name, status)
	}
	m := s.metrics()
	f := footprint{goroutines: int(m["go_goroutines"]), heap: uint64(m["go_memstats_heap_alloc_bytes"]), resident: uint64(m["process_resident_memory_bytes"])}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kb uint64
			_, _ = fmt.Sscan(rest, &kb) // a line that cannot be read fails the check below
			f.peak = kb << 10
		}
	}
	if f.goroutines == 0 || f.heap == 0 || f.resident == 0 || f.peak == 0 {
		s.t.Fatalf("%s: its footprint cannot be read: %v", s.name, f)
	}
	return f
}

const (
	// memoryLimit is the most an instance may ever take. Source: design, "SLO".
	memoryLimit = 512_000_000
	// Small differences are no leak: idle connections, buffers that are kept for the next use.
	spareGoroutines = 16
	spareHeap       = 24_000_000
)

// settles waits until the service is as large as it was before, which it must be some time after the load has gone.
func (s *service) settles(before footprint) {
	s.t.Helper()
	var now footprint
	deadline := time.Now().Add(soon)
	for {
		now = s.footprint()
		if now.goroutines <= before.goroutines+spareGoroutines && now.heap <= before.heap+spareHeap {
			break
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s leaks: before %v, now %v\n%s", s.name, before, now, s.goroutines())
			break
		}
		time.Sleep(100 * time.Millisecond) // between two looks at the condition
	}
	if now.peak > memoryLimit {
		s.t.Errorf("%s took %.1f MB, more than %.1f MB", s.name, float64(now.peak)/1e6, memoryLimit/1e6)
	}
	s.t.Logf("%s: before: %v; after: %v", s.name, before, now)
}

// goroutines says what the service's goroutines do.
func (s *service) goroutines() string {
	res, err := lookers.Get(s.internal + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(res.Body, 12_000)) // it is for a person who reads about a failure
	return string(b)
}

// cpu returns the processor time that the process has used so far.
func (s *service) cpu() time.Duration {
	s.t.Helper()
	return time.Duration(s.metrics()["process_cpu_seconds_total"] * float64(time.Second))
}
