package usuarios_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"siglab/app/errs"
	"siglab/app/usuarios"
)

func newHasher(t *testing.T, cost, parallel, waiting int) *usuarios.Hasher {
	t.Helper()
	h, err := usuarios.NewHasher(cost, parallel, waiting, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestCheck(t *testing.T) {
	h := newHasher(t, bcrypt.MinCost, 1, 1)
	long := strings.Repeat("x", 80)
	truncated, err := bcrypt.GenerateFromPassword([]byte(long[:72]), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	own, err := h.Hash(t.Context(), "una contraseña")
	if err != nil {
		t.Fatal(err)
	}
	y := slices.Concat([]byte("$2y"), own[3:]) // as PHP's and Python's libraries mark the same algorithm
	for _, tt := range []struct {
		name, password string
		hash           []byte
		want           bool
	}{
		{"right", "una contraseña", own, true},
		{"wrong", "otra contraseña", own, false},
		{"another mark", "una contraseña", y, true},
		{"no account", "una contraseña", nil, false},
		{"no hash", "una contraseña", []byte("texto"), false},
		{"longer than bcrypt reads, as the old backend took it", long, truncated, true},
	} {
		if got, err := h.Check(t.Context(), tt.hash, tt.password); err != nil || got != tt.want {
			t.Errorf("%s: got %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestTheLineIsBounded(t *testing.T) {
	h := newHasher(t, 10, 1, 2)
	var mu sync.Mutex
	results := map[bool]int{}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := h.Check(context.Background(), nil, "x")
			if err != nil && errs.KindOf(err) != errs.Unavailable {
				t.Errorf("got %v, want Unavailable", err)
			}
			mu.Lock()
			results[err == nil]++
			mu.Unlock()
		})
	}
	all.Wait()
	if results[true] < 3 || results[false] == 0 {
		t.Errorf("of 20 at once %d were checked and %d refused, want at least 3 checked and some refused", results[true], results[false])
	}
	if n := h.Waiting(); n != 0 {
		t.Errorf("afterwards %d wait, want 0", n)
	}
}

// The line is left after a while, whoever holds it up.
func TestNobodyWaitsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, err := usuarios.NewHasher(10, 1, 5, func(float64) { <-release })
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan error, 1)
		go func() {
			_, err := h.Check(t.Context(), nil, "x")
			first <- err
		}()
		synctest.Wait() // the first has its turn and keeps it
		began := time.Now()
		_, err = h.Check(t.Context(), nil, "x")
		if e, ok := errors.AsType[*errs.Error](err); !ok || e.Kind != errs.Unavailable || !e.Refused {
			t.Errorf("got %v, want a refusal", err)
		}
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("refused after %s", waited)
		}
		close(release)
		if err := <-first; err != nil {
			t.Errorf("the first: %v", err)
		}
	})
}

func TestWhoGivesUpLeavesTheLine(t *testing.T) {
	h := newHasher(t, bcrypt.MinCost, 1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 { // each would stay in the line for good if it did not leave
		_, _ = h.Check(ctx, nil, "x")
	}
	if _, err := h.Check(t.Context(), nil, "x"); err != nil {
		t.Errorf("got %v, want room in the line", err)
	}
}
