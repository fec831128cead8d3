package usuarios_test

import (
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// A wrong password of an account with a cheap old hash, one with a current hash and an unknown name take the same time. It is
// measured as this thread's own CPU time, in turns, since the machine may be doing other work.
func TestFailuresTakeTheSameTime(t *testing.T) {
	const cost = 9
	h := newHasher(t, cost, 1, 1)
	current, err := h.Hash(t.Context(), "correcta")
	if err != nil {
		t.Fatal(err)
	}
	cheap, err := bcrypt.GenerateFromPassword([]byte("correcta"), cost-3)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hashes := [][]byte{nil, current, cheap}
	best := make([]int64, len(hashes))
	for range 10 {
		for i, hash := range hashes {
			began := threadTime(t)
			if ok, err := h.Check(t.Context(), hash, "incorrecta"); ok || err != nil {
				t.Fatalf("got %v, %v, want false", ok, err)
			}
			if took := threadTime(t) - began; best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	for i, name := range []string{"unknown name", "current hash", "cheap hash"} {
		if ratio := float64(best[i]) / float64(best[0]); ratio < 0.7 || ratio > 1.4 {
			t.Errorf("%s takes %.2f of an unknown name's time, want about 1 (microseconds: %v)", name, ratio, best)
		}
	}
}

// threadTime is the CPU time that this thread has used, in microseconds.
func threadTime(t *testing.T) int64 {
	t.Helper()
	const thisThread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thisThread, &u); err != nil {
		t.Fatal(err)
	}
	return syscall.TimevalToNsec(u.Utime)/1000 + syscall.TimevalToNsec(u.Stime)/1000
}
