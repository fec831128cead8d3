package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"siglab/app/api"
)

// discard is a ResponseWriter that keeps nothing but the headers.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func bench(b *testing.B, o options, path string, headers ...string) {
	o.log = io.Discard
	s := start(b, o)
	for i := range 1000 {
		s.add(fmt.Sprintf("LAB%d-PC-%04d", i%12, i))
	}
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+s.admin)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := &discard{h: http.Header{}}
	s.handler.ServeHTTP(w, r)
	if etag := w.h.Get("ETag"); r.Header.Get("If-None-Match") != "" {
		r.Header.Set("If-None-Match", etag)
	}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		s.handler.ServeHTTP(w, r)
	}
}

// BenchmarkListar is the fast path, without the network and the round trip to the cache's store.
func BenchmarkListar(b *testing.B) {
	b.Run("plain", func(b *testing.B) { bench(b, options{}, "/api/maquinas/listar") })
	b.Run("gzip", func(b *testing.B) {
		bench(b, options{}, "/api/maquinas/listar", "Accept-Encoding", "gzip, deflate, br")
	})
	b.Run("unchanged", func(b *testing.B) { bench(b, options{}, "/api/maquinas/listar", "If-None-Match", "x") })
	b.Run("open", func(b *testing.B) {
		bench(b, options{config: func(c *api.Config) { c.AuthRequired = false }}, "/api/maquinas/listar", "Authorization", "")
	})
	b.Run("nolog", func(b *testing.B) { bench(b, options{level: "error"}, "/api/maquinas/listar") })
}

func BenchmarkBuscar(b *testing.B) {
	bench(b, options{}, "/api/maquinas/buscar?codigo=LAB1-PC-0001")
}

// BenchmarkAgregar is validation, an INSERT into SQLite and the announcement.
func BenchmarkAgregar(b *testing.B) {
	s := start(b, options{log: io.Discard})
	w := &discard{h: http.Header{}}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		r := httptest.NewRequest("POST", "/api/maquinas/agregar", strings.NewReader(fmt.Sprintf(
			`{"codigo_equipo":"LAB-%d","tipo_equipo":"PC","estado_actual":"operativa","area":"Biblioteca Central","fecha":"2024-03-15"}`, n)))
		r.Header.Set("Authorization", "Bearer "+s.admin)
		r.Header.Set("Content-Type", "application/json")
		clear(w.h)
		s.handler.ServeHTTP(w, r)
		if got := w.h.Get("Location"); got == "" {
			b.Fatalf("machine %d was not added", n)
		}
	}
}

func BenchmarkHealth(b *testing.B) { bench(b, options{}, "/api/sistema/health") }
