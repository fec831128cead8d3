package memory

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"siglab/app/usuarios"
)

var _ usuarios.Limiter = (*Limiter)(nil)

// Limiter is a usuarios.Limiter in this process, by the generic cell rate algorithm: of each key it keeps one time, that at which
// its attempts would all be there again.
type Limiter struct {
	max int
	now func() time.Time

	mu   sync.Mutex
	full map[string]time.Time
}

// NewLimiter makes a limiter that remembers at most max keys.
func NewLimiter(max int, now func() time.Time) *Limiter {
	return &Limiter{max: max, now: now, full: map[string]time.Time{}}
}

// Allow implements usuarios.Limiter. A key may spend its minute's attempts at once and then gets one back each perMinute-th part of
// a minute. perMinute below 1 is no limit.
func (l *Limiter) Allow(_ context.Context, key string, perMinute int) (time.Duration, error) {
	if perMinute < 1 {
		return 0, nil
	}
	if len(key) > longestKey { // it may hold whatever somebody sent in place of a user name
		sum := sha256.Sum256([]byte(key))
		key = string(sum[:])
	}
	each := time.Minute / time.Duration(perMinute)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full, known := l.full[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(each)
	if wait := full.Sub(now) - each*time.Duration(perMinute); wait > 0 {
		return wait, nil
	}
	if !known && len(l.full) >= l.max {
		l.makeRoom(now)
	}
	l.full[key] = full
	return 0, nil
}

const (
	longestKey = 128 // bytes
	sample     = 32  // how many keys are looked at to find one that can go
)

// makeRoom looks at a few keys, of a map so at random ones. Those that have all their attempts again go, which is as if they had
// never come; if there is none, that goes which is nearest to it: a flood of new keys makes it forget new keys, hardly ever one
// that has spent much.
func (l *Limiter) makeRoom(now time.Time) {
	nearest, seen, room := "", 0, false
	for key, full := range l.full {
		if !full.After(now) {
			delete(l.full, key)
			room = true
		} else if nearest == "" || full.Before(l.full[nearest]) {
			nearest = key
		}
		if seen++; seen == sample {
			break
		}
	}
	if !room {
		delete(l.full, nearest)
	}
}

// Len returns how many keys it remembers.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.full)
}
