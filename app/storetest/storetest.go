// Package storetest holds what every Store must do, whatever keeps its data: one suite a domain interface, run by the tests of
// each adapter. What an interface's comments promise is checked here, and nowhere else.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"siglab/app/errs"
	"siglab/app/idempotency"
)

// Clock is a clock that stands until it is told to go on. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at the present second, so that databases with clocks of their own agree with it.
func NewClock() *Clock { return &Clock{now: time.Now().Truncate(time.Second)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newRand returns a generator with a seed that the test's log names when it fails.
func newRand(t *testing.T) *mathrand.Rand {
	t.Helper()
	seed := mathrand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed: %d", seed)
		}
	})
	return mathrand.New(mathrand.NewPCG(seed, 0))
}

func pick[T any](r *mathrand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// newKey makes an idempotency key that no other test has; requests with one body have one fingerprint.
func newKey(body string) *idempotency.Key {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return idempotency.New("ana", "POST /prueba", hex.EncodeToString(b[:]), []byte(body))
}

// sameKey is the key again, with another body.
func sameKey(k *idempotency.Key, body string) *idempotency.Key {
	other := idempotency.New("", "", "", []byte(body))
	return &idempotency.Key{ID: k.ID, Fingerprint: other.Fingerprint}
}

func wantKind(t *testing.T, what string, err error, want errs.Kind) {
	t.Helper()
	if err == nil || errs.KindOf(err) != want {
		t.Errorf("%s: got error %v of kind %d, want kind %d", what, err, errs.KindOf(err), want)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// together runs n calls at once and returns when all have ended.
func together(n int, call func(i int)) {
	var start, end sync.WaitGroup
	start.Add(1)
	for i := range n {
		end.Go(func() {
			start.Wait()
			call(i)
		})
	}
	start.Done()
	end.Wait()
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// texts are values that have broken stores before: what SQL, LIKE, JSON, regular expressions and MongoDB's operators give a
// meaning to, and letters outside the first plane.
var texts = []string{
	`Laboratorio de Química`, `O'Higgins`, `"comillas"`, `a\b\\c`, `50 % _descuento_`, `.*`, `^$`, `(a|b)[c]{2}?`, `$where`,
	`{"$gt":""}`, `'; DROP TABLE maquinas; -- `, `/* */ # --`, `🖥️ sala 𝔘𝔫𝔦`, `ñandú`, `İstanbul ıı`, `Straße`, `日本語`, `e\u0301`,
	`null`, `0`, `true`, `?`, `:nombre`, `@x`, "`acento`", `%s%d%!`, `<script>`, `𐍈`,
}

func long(letter string, n int) string { return strings.Repeat(letter, n) }

// equalSlices says where two lists differ first.
func equalSlices[T comparable](t *testing.T, what string, got, want []T) bool {
	t.Helper()
	if slices.Equal(got, want) {
		return true
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: element %d of %d is %+v, want %+v (of %d)", what, i, len(got), got[i], want[i], len(want))
			return false
		}
	}
	t.Errorf("%s: got %d elements, want %d", what, len(got), len(want))
	return false
}
