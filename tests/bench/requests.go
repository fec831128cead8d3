package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
)

// get is a load of one GET again and again; it is built at a connection's first use.
func get(p *process, path string, headers ...string) request {
	return func(_ int64, r *fasthttp.Request) {
		if len(r.Header.Host()) > 0 {
			return
		}
		prepare(p, r, "GET", headers...)
		r.SetRequestURI("http://" + p.addr + path)
	}
}

// each is a load of GETs that differ.
func each(p *process, path func(n int64) string, headers ...string) request {
	return func(n int64, r *fasthttp.Request) {
		if len(r.Header.Host()) == 0 {
			prepare(p, r, "GET", headers...)
		}
		r.SetRequestURI("http://" + p.addr + path(n))
	}
}

// post is a load of POSTs that differ.
func post(p *process, path string, body func(n int64) any) request {
	return func(n int64, r *fasthttp.Request) {
		if len(r.Header.Host()) == 0 {
			prepare(p, r, "POST", "Content-Type", "application/json")
			r.SetRequestURI("http://" + p.addr + path)
		}
		b, _ := json.Marshal(body(n)) // plain structs do not fail
		r.SetBody(b)
	}
}

func prepare(p *process, r *fasthttp.Request, method string, headers ...string) {
	r.Header.SetMethod(method)
	r.Header.SetHost(p.addr)
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
}

// answer is one response, with what it took.
type answer struct {
	header      http.Header
	body        []byte
	first, took time.Duration
}

// plainly sends as it is told: it compresses only when asked to.
var plainly = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 4}}

// ask sends one request and wants one status. With keep false the body is read and thrown away.
func ask(ctx context.Context, p *process, want int, method, path string, body io.Reader, keep bool, headers ...string) (a answer, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.addr+path, body)
	if err != nil {
		return a, err
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	began := time.Now()
	got, err := plainly.Do(r)
	if err != nil {
		return a, err
	}
	defer got.Body.Close()
	a.header = got.Header
	one := make([]byte, 1)
	n, err := io.ReadFull(got.Body, one)
	if err == io.EOF {
		err = nil
	}
	if err != nil {
		return a, err
	}
	a.first = time.Since(began)
	if keep {
		var rest []byte
		rest, err = io.ReadAll(got.Body)
		a.body = append(one[:n], rest...)
	} else {
		_, err = io.Copy(io.Discard, got.Body)
	}
	a.took = time.Since(began)
	if err == nil && got.StatusCode != want {
		err = fmt.Errorf("%s: %s %s: %d instead of %d: %.200s", p.name, method, path, got.StatusCode, want, a.body)
	}
	return a, err
}
