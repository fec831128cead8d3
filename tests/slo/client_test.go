package slo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// client calls the API as one user.
type client struct {
	base, token string
	http        *http.Client
}

// newClient opens a connection for each request, so that kube-proxy spreads them over the pods.
func newClient(base string) *client {
	return &client{base: base, http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (c *client) login(t testing.TB, username, password string) {
	t.Helper()
	var answer struct{ Token string }
	res, body, err := c.do(t.Context(), "POST", "/api/auth/login", map[string]string{"username": username, "password": password}, nil)
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		t.Fatalf("login: %v %s", err, body)
	}
	c.token = answer.Token
}

func (c *client) do(ctx context.Context, method, path string, body any, header http.Header) (*http.Response, []byte, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, in)
	if err != nil {
		return nil, nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return res, out, err
}

// must is a call that has to answer with the status.
func (c *client) must(t testing.TB, status int, method, path string, body any, header http.Header) (*http.Response, []byte) {
	t.Helper()
	res, out, err := c.do(t.Context(), method, path, body, header)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if res.StatusCode != status {
		t.Fatalf("%s %s: got %d, want %d: %s", method, path, res.StatusCode, status, out)
	}
	return res, out
}

// load sends the same call at a steady rate until stop is called, and counts the answers by status.
type load struct {
	mu       sync.Mutex
	statuses map[string]int
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

func (c *client) load(perSecond int, paths ...string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{statuses: map[string]int{}, cancel: cancel}
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			path := paths[i%len(paths)]
			l.wg.Add(1)
			go func() {
				defer l.wg.Done()
				// What has begun is finished after the end of the load, so that its answer is counted on both sides.
				res, _, err := c.do(context.Background(), "GET", path, nil, nil)
				l.mu.Lock()
				defer l.mu.Unlock()
				if err != nil {
					l.statuses[err.Error()]++
				} else {
					l.statuses[fmt.Sprint(res.StatusCode)]++
				}
			}()
		}
	}()
	return l
}

func (l *load) stop() map[string]int {
	l.cancel()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statuses
}
