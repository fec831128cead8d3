package usuarios

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"siglab/app/errs"
)

// Hasher makes and checks bcrypt hashes, few at a time: a hash takes a core for a quarter of a second, and a storm of logins must
// leave the others some.
type Hasher struct {
	cost    int
	work    chan struct{}
	line    chan struct{}
	decoys  map[int][]byte // a hash of a random password for each cost
	highest atomic.Int64   // the highest cost seen in an account
	observe func(seconds float64)
}

// patience is the longest that anybody waits in line for their password to be checked. A person would give up, and a proxy too.
const patience = 5 * time.Second

// errBusy is the answer when too many wait for their password to be checked, or one did for too long.
var errBusy = &errs.Error{
	Kind:       errs.Unavailable,
	Message:    "Hay demasiados inicios de sesión en este momento; intente de nuevo en unos segundos.",
	RetryAfter: 2 * time.Second,
	Refused:    true,
}

// NewHasher makes a hasher of that bcrypt cost that runs parallel hashes at once and lets waiting more wait. observe is
// told how long each took, in seconds.
func NewHasher(cost, parallel, waiting int, observe func(seconds float64)) (*Hasher, error) {
	h := &Hasher{
		cost: cost, observe: observe, decoys: map[int][]byte{},
		work: make(chan struct{}, parallel), line: make(chan struct{}, parallel+waiting),
	}
	h.highest.Store(int64(cost))
	// One real hash is made; the decoys of other costs are its text with another cost, which take that cost's time and match nothing.
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, as its documentation says
	hash, err := bcrypt.GenerateFromPassword(secret, bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	for c := bcrypt.MinCost; c <= bcrypt.MaxCost; c++ {
		decoy := []byte(string(hash))
		decoy[4], decoy[5] = byte('0'+c/10), byte('0'+c%10)
		h.decoys[c] = decoy
	}
	return h, nil
}

// do runs f in the pool, or returns errBusy when the line is full or does not move, or ctx's error when it ends first.
func (h *Hasher) do(ctx context.Context, f func()) error {
	select {
	case h.line <- struct{}{}:
		defer func() { <-h.line }()
	default:
		return errBusy
	}
	tired := time.NewTimer(patience)
	defer tired.Stop()
	select {
	case h.work <- struct{}{}:
		defer func() { <-h.work }()
	case <-ctx.Done():
		return ctx.Err()
	case <-tired.C:
		return errBusy
	}
	began := time.Now()
	f()
	h.observe(time.Since(began).Seconds())
	return nil
}

// Hash makes a hash of a password of at most MaxPassword bytes.
func (h *Hasher) Hash(ctx context.Context, password string) (hash []byte, err error) {
	if e := h.do(ctx, func() { hash, err = bcrypt.GenerateFromPassword([]byte(password), h.cost) }); e != nil {
		return nil, e
	}
	return hash, err
}

// Check says whether a password matches a hash. Every failure takes the same time, whether the hash is cheaper than the configured cost or
// nil because there is no such account. Like the old backend's bcrypt it reads 72 bytes of a password.
func (h *Hasher) Check(ctx context.Context, hash []byte, password string) (ok bool, err error) {
	p := []byte(password)
	if len(p) > MaxPassword {
		p = p[:MaxPassword]
	}
	e := h.do(ctx, func() {
		target := int(h.highest.Load())
		cost, costErr := bcrypt.Cost(hash)
		if costErr != nil { // no account, or no bcrypt hash
			_ = bcrypt.CompareHashAndPassword(h.decoys[target], p)
			return
		}
		if cost > target {
			h.highest.Store(int64(cost))
		}
		if ok = bcrypt.CompareHashAndPassword(hash, p) == nil; ok {
			return
		}
		for c := cost; c < target; c++ { // 2^cost + (2^cost + ... + 2^(target-1)) = 2^target
			_ = bcrypt.CompareHashAndPassword(h.decoys[c], p)
		}
	})
	return ok, e
}

// Outdated says whether a hash is of another cost than the configured one.
func (h *Hasher) Outdated(hash []byte) bool {
	cost, err := bcrypt.Cost(hash)
	return err == nil && cost != h.cost
}

// Waiting is how many passwords wait for their turn.
func (h *Hasher) Waiting() int { return max(0, len(h.line)-len(h.work)) }
