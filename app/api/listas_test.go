package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"siglab/app/api"
)

// expand undoes a content coding.
func expand(t testing.TB, a answer) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(a.body)
	switch a.Header.Get("Content-Encoding") {
	case "":
		return a.body
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNearAnswersTheSame holds the fast path of lists against the plain one: what comes from this process's memory is, to the byte, what
// is read and encoded for each request when there is no cache at all. A parameter that means nothing sends the request through the
// router, which the whole list does not pass.
func TestNearAnswersTheSame(t *testing.T) {
	s := start(t, options{})
	for i := range 30 {
		s.add(fmt.Sprintf("ñandú-%02d", i))
	}
	for _, path := range []string{"/api/maquinas/listar", "/api/maquinas/listar?limite=10&orden=codigo:desc", "/api/maquinas/buscar", "/api/maquinas/listar?tipo=IMP"} {
		for _, coding := range []string{"identity", "gzip", "zstd", "gzip;q=0.5, zstd;q=0.1", "br, gzip;q=0"} {
			s.cache.Store.(interface{ Flush() }).Flush()
			first := s.call("GET", path, "", "Accept-Encoding", "", "-Accept-Encoding", "", "Accept-Encoding", coding)
			reads := s.machines.pages.Load()
			near := s.call("GET", path, "", "-Accept-Encoding", "", "Accept-Encoding", coding)
			if got := s.machines.pages.Load(); got != reads {
				t.Errorf("%s %s: the second request read the store", path, coding)
			}
			s.cache.outage.Store(true)
			bare := s.call("GET", path, "", "-Accept-Encoding", "", "Accept-Encoding", coding)
			if got := s.machines.pages.Load(); got == reads {
				t.Errorf("%s %s: the request without a cache did not read the store", path, coding)
			}
			s.cache.outage.Store(false)
			for _, other := range []answer{first, near} {
				if !bytes.Equal(other.body, bare.body) {
					t.Errorf("%s %s: bodies differ: %d and %d bytes", path, coding, len(other.body), len(bare.body))
				}
				for _, name := range []string{"Etag", "Link", "X-Total-Count", "Content-Type", "Content-Encoding", "Content-Length", "Cache-Control", "Vary"} {
					if got, want := other.Header[name], bare.Header[name]; fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s %s: %s: got %q, want %q", path, coding, name, got, want)
					}
				}
			}
			if path == "/api/maquinas/listar" {
				routed := s.call("GET", path+"?otro=1", "", "-Accept-Encoding", "", "Accept-Encoding", coding)
				for _, h := range []http.Header{routed.Header, near.Header} {
					h.Del("X-Request-Id")
					h.Del("Date")
				}
				if !bytes.Equal(routed.body, near.body) || !reflect.DeepEqual(routed.Header, near.Header) {
					t.Errorf("%s: routed: %d bytes, %v; straight: %d bytes, %v", coding, len(routed.body), routed.Header, len(near.body), near.Header)
				}
			}
			if n := len(near.list2(t)); near.Header.Get("X-Total-Count") == "30" && n != min(30, 10) && n != 30 {
				t.Errorf("%s %s: %d machines", path, coding, n)
			}
			if a := s.call("GET", path, "", "-Accept-Encoding", "", "Accept-Encoding", coding, "If-None-Match", near.Header.Get("ETag")); a.StatusCode != 304 || len(a.body) > 0 || a.Header.Get("ETag") != near.Header.Get("ETag") {
				t.Errorf("%s %s: If-None-Match: got %d", path, coding, a.StatusCode)
			}
		}
	}
}

func (a answer) list2(t testing.TB) []map[string]any {
	t.Helper()
	a.body = expand(t, a)
	return a.list(t)
}

// TestWritesShowAtOnce reads the list right after each write; what memory holds must never come first.
func TestWritesShowAtOnce(t *testing.T) {
	s := start(t, options{})
	for i := range 20 {
		s.add(fmt.Sprintf("m%02d", i))
		if got := len(s.call("GET", "/api/maquinas/listar", "").list(t)); got != i+1 {
			t.Fatalf("after %d writes the list holds %d", i+1, got)
		}
	}
	// Writers and readers at once: whoever was answered sees the write.
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				code := fmt.Sprintf("w%d-%d", w, i)
				s.add(code)
				if a := s.call("GET", "/api/maquinas/listar", ""); !strings.Contains(string(a.body), `"`+code+`"`) {
					t.Errorf("the list lacks %s after its registration was answered", code)
				}
			}
		})
	}
	wg.Wait()
}

func TestStaleListWhileTheStoreIsDown(t *testing.T) {
	s := start(t, options{})
	now := time.Now()
	set := func(d time.Duration) { later := now.Add(d); s.now.Store(&later) }
	s.add("m1")
	fresh := s.call("GET", "/api/maquinas/listar", "")
	s.machines.outage.Store(true)
	s.cache.Store.(interface{ Flush() }).Flush()
	set(90 * time.Second)
	a := s.call("GET", "/api/maquinas/listar", "")
	if a.StatusCode != 200 || string(a.body) != string(fresh.body) {
		t.Fatalf("got %d %s, want the last list", a.StatusCode, a.body)
	}
	if age, warning := a.Header.Get("Age"), a.Header.Get("Warning"); age < "89" || age > "91" || warning != `110 - "Response is Stale"` {
		t.Errorf("Age %q, Warning %q", age, warning)
	}
	for _, path := range []string{"/api/maquinas/listar?tipo=PC", "/api/maquinas/buscar?codigo=m1", "/api/maquinas/buscar?termino=m", "/api/maquinas/dashboard",
		"/api/mantenimientos/informe", "/api/maquinas/listar?limite=5"} {
		a := s.call("GET", path, "")
		a.problem(t, 503)
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	// Without the cache's store as well.
	s.cache.outage.Store(true)
	if a := s.call("GET", "/api/maquinas/listar", ""); a.StatusCode != 200 || a.Header.Get("Age") == "" {
		t.Errorf("without any store: got %d %s", a.StatusCode, a.body)
	}
	set(12 * time.Minute)
	s.call("GET", "/api/maquinas/listar", "").problem(t, 503)
	s.machines.outage.Store(false)
	if a := s.call("GET", "/api/maquinas/listar", ""); a.StatusCode != 200 || a.Header.Get("Age") != "" || a.Header.Get("Warning") != "" {
		t.Errorf("after the outage: got %d, Age %q, Warning %q", a.StatusCode, a.Header.Get("Age"), a.Header.Get("Warning"))
	}
}

func TestNearForgetsAfterItsTime(t *testing.T) {
	s := start(t, options{config: func(c *api.Config) { c.CacheTTL = 5 * time.Second }})
	now := time.Now()
	s.now.Store(&now)
	s.add("m1")
	s.call("GET", "/api/maquinas/listar", "")
	s.machines.Maquinas.Write.Exec(`UPDATE maquinas SET area = 'otra'`) // behind the service's back
	if a := s.call("GET", "/api/maquinas/listar", ""); strings.Contains(string(a.body), "otra") {
		t.Error("the second list was not from memory")
	}
	later := now.Add(2 * time.Minute)
	s.now.Store(&later)
	if a := s.call("GET", "/api/maquinas/listar", ""); !strings.Contains(string(a.body), "otra") {
		t.Error("the list is older than its time allows")
	}
}
