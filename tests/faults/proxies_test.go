package faults_test

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// wires are the proxies between one instance of the service and its three servers.
type wires struct{ mysql, mongo, redis *wire }

func (w *wires) all() []*wire { return []*wire{w.mysql, w.mongo, w.redis} }

// wire is one toxiproxy.
type wire struct{ proxy *toxiproxy.Proxy }

// newWires puts proxies before the farm's servers, until the test ends.
func newWires(t *testing.T, f *farm) *wires {
	t.Helper()
	return &wires{mysql: newWire(t, f.dsn.Addr), mongo: newWire(t, f.mongoAddr), redis: newWire(t, f.redisAddr)}
}

func newWire(t *testing.T, upstream string) *wire {
	t.Helper()
	quiet := zerolog.New(io.Discard)
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	w := &wire{toxiproxy.NewProxy(api, upstream, "127.0.0.1:0", upstream)}
	w.join(t)
	t.Cleanup(w.proxy.Stop)
	return w
}

// addr is where the proxy listens; it stays the same.
func (w *wire) addr() string { return w.proxy.Listen }

// cut closes every connection and refuses new ones.
func (w *wire) cut() { w.proxy.Stop() }

// join undoes cut.
func (w *wire) join(t testing.TB) {
	t.Helper()
	if err := w.proxy.Start(); err != nil {
		t.Fatal(err)
	}
}

// poison adds a toxic to what the server sends, given as toxiproxy's HTTP API takes it.
func (w *wire) poison(t testing.TB, toxic string) {
	t.Helper()
	if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatalf("toxic %s: %v", toxic, err)
	}
}

// heal removes every toxic.
func (w *wire) heal() { w.proxy.Toxics.ResetToxics(context.Background()) }

// toxins registers the toxics that toxiproxy lacks.
func toxins() { toxics.Register("garbage", new(garbage)) }

// garbage replaces what the server sends with as many other bytes.
type garbage struct{}

// Pipe implements toxics.Toxic.
func (*garbage) Pipe(stub *toxics.ToxicStub) {
	noise := rand.NewChaCha8([32]byte{1}) // the same in each run
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			b := make([]byte, len(c.Data))
			_, _ = noise.Read(b) // never fails, as its documentation says
			stub.Output <- &stream.StreamChunk{Data: b, Timestamp: c.Timestamp}
		}
	}
}
