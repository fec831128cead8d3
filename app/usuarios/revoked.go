package usuarios

import (
	"context"
	"sync"
	"time"
)

const (
	pollEvery   = 500 * time.Millisecond // bounds how long a logout on another replica takes to be known without Redis
	overlap     = 10 * time.Second       // read again at each look, for commits that became visible late
	forgetEvery = 10 * time.Minute
)

// Revoked is this replica's copy of the sessions that were ended before their time. The store is the truth; announcements only bring it
// sooner.
type Revoked struct {
	mu  sync.RWMutex
	set map[string]time.Time // session ID to when it would have expired
}

// Has says whether a session was ended.
func (r *Revoked) Has(session string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.set[session]
	return ok
}

// Add notes a revocation.
func (r *Revoked) Add(v Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil {
		r.set = map[string]time.Time{}
	}
	r.set[v.Session] = v.Expires
}

// Len is how many are remembered.
func (r *Revoked) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.set)
}

func (r *Revoked) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, expires := range r.set {
		if expires.Before(now) {
			delete(r.set, id)
		}
	}
}

// LoadRevocations reads every revocation that still matters, before the first request, and returns what FollowRevocations goes on from.
func (s *Service) LoadRevocations(ctx context.Context) (since time.Time, err error) {
	return s.readRevocations(ctx, time.Time{})
}

// FollowRevocations learns of the other replicas' revocations until ctx ends: by announcement, and by looking into the store.
func (s *Service) FollowRevocations(ctx context.Context, since time.Time) {
	var listening sync.WaitGroup
	listening.Go(func() { s.Sessions.Listen(ctx, s.Revoked.Add) })
	defer listening.Wait()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	forgotten := s.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if seen, err := s.readRevocations(ctx, since.Add(-overlap)); err == nil {
			since = seen
		} // else the store is down: nobody can log out, and the next look reads from the same time on
		if now := s.Now(); now.Sub(forgotten) > forgetEvery {
			forgotten = now
			s.Revoked.forget(now)
			_ = s.Store.ForgetRevocations(ctx, now.Add(-time.Hour)) // the hour is for clocks that differ
		}
	}
}

func (s *Service) readRevocations(ctx context.Context, since time.Time) (time.Time, error) {
	list, clock, err := s.Store.Revocations(ctx, since)
	for _, r := range list {
		s.Revoked.Add(r)
	}
	return clock, err
}
