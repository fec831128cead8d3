package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// nearMachines is how many single machines were served from this process's memory.
func (s *service) nearMachines() (n int) {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if _, err := fmt.Sscanf(line, `siglab_cache_requests_total{cache="maquina",result="near"} %d`, &n); err == nil {
			return n
		}
	}
	s.t.Fatal("no metric of the cache")
	return 0
}

// TestNearMachineAnswersTheSame holds the fast path of one machine against the plain one: what comes from this process's memory is, to the
// byte, what is read from the store when there is no cache at all.
func TestNearMachineAnswersTheSame(t *testing.T) {
	s := start(t, options{})
	for _, codigo := range []string{"LAB1-PC-01", "ñandú_ß.7"} {
		s.add(codigo)
		for _, spelt := range []string{codigo, strings.ToLower(codigo), "  " + strings.ToUpper(codigo)} {
			path := "/api/maquinas/buscar?codigo=" + url.QueryEscape(spelt)
			first := s.call("GET", path, "")
			before := s.nearMachines()
			near := s.call("GET", path, "")
			if got := s.nearMachines(); got != before+1 {
				t.Errorf("%s: the second request did not come from memory", spelt)
			}
			s.cache.outage.Store(true)
			bare := s.call("GET", path, "")
			s.cache.outage.Store(false)
			for _, a := range []answer{first, near} {
				for _, h := range []http.Header{a.Header, bare.Header} {
					h.Del("X-Request-Id")
					h.Del("Date")
				}
				if a.StatusCode != 200 || !bytes.Equal(a.body, bare.body) || fmt.Sprint(a.Header) != fmt.Sprint(bare.Header) {
					t.Errorf("%s: got %d %s %v, want %d %s %v", spelt, a.StatusCode, a.body, a.Header, bare.StatusCode, bare.body, bare.Header)
				}
			}
			etag := near.Header.Get("ETag")
			if a := s.call("GET", path, "", "If-None-Match", etag); a.StatusCode != 304 || len(a.body) > 0 || a.Header.Get("ETag") != etag {
				t.Errorf("%s: If-None-Match: got %d %s", spelt, a.StatusCode, a.body)
			}
		}
	}
}

// What memory holds of a machine never comes after a write of it was answered: a change, a removal, the code's next life.
func TestNearMachineShowsWritesAtOnce(t *testing.T) {
	s := start(t, options{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			codigo := fmt.Sprintf("m%d", w)
			path := "/api/maquinas/buscar?codigo=" + codigo
			for i := range 10 {
				s.add(codigo)
				s.call("GET", path, "")
				area := fmt.Sprintf("área %d", i)
				if a := s.call("PUT", "/api/maquinas/actualizar", `{"codigo_equipo":"`+codigo+`","area":"`+area+`"}`); a.StatusCode != 200 {
					t.Errorf("actualizar: %d %s", a.StatusCode, a.body)
				}
				for range 3 {
					if got := s.call("GET", path, ""); !strings.Contains(string(got.body), area) {
						t.Errorf("%s lacks %q after its change was answered: %s", codigo, area, got.body)
					}
				}
				if a := s.call("DELETE", "/api/maquinas/eliminar/"+codigo, ""); a.StatusCode != 200 {
					t.Errorf("eliminar: %d %s", a.StatusCode, a.body)
				}
				if a := s.call("GET", path, ""); a.StatusCode != 404 {
					t.Errorf("%s is there after its removal was answered: %d %s", codigo, a.StatusCode, a.body)
				}
			}
		})
	}
	writers.Wait()
}

// A machine's time in memory counts from when it was read from the store, and ends with the cache's TTL.
func TestNearMachineForgetsAfterItsTime(t *testing.T) {
	s := start(t, options{})
	now := time.Now()
	set := func(d time.Duration) { later := now.Add(d); s.now.Store(&later) }
	set(0)
	s.add("m1")
	read := func() string { return string(s.call("GET", "/api/maquinas/buscar?codigo=m1", "").body) }
	read()
	s.machines.Maquinas.Write.Exec(`UPDATE maquinas SET area = 'otra'`) // behind the service's back
	set(50 * time.Second)
	before := s.nearMachines()
	if strings.Contains(read(), "otra") || s.nearMachines() != before+1 {
		t.Error("the second answer was not from memory")
	}
	set(61 * time.Second)
	if got := read(); !strings.Contains(got, "otra") {
		t.Errorf("the machine is older than its time allows: %s", got)
	}
}
