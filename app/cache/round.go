package cache

import (
	"context"
	"sync"
	"time"
)

// rounds lets callers who want the same of the store at the same time share one round trip, and what it returns: a token. It is a fast
// path: with looks at the generation and announcements of writes shared, what many callers cost grows with the time and not with their
// number. docs/performance.md has the figures.
//
// Nobody shares a trip that began before they came: a look might miss a write that was answered in between, an announcement might come before
// its write. Who comes while a trip is under way shares the next one.
type rounds struct {
	mu      sync.Mutex
	current *round // under way
	next    *round // waits for it
}

type round struct {
	began   time.Time
	callers int
	turn    chan struct{} // closed when the round before has ended; nil when there was none
	done    chan struct{} // closed when gen and err are set; nil when nobody can wait for them
	gen     string
	err     error
}

// hanging is how long a round is under way when others no longer wait for it but go by themselves: the store is slow, and callers in a row
// would add their timeouts up.
const hanging = 5 * time.Millisecond

// join returns what a trip that begins after this call returns. Those who share it share its failure. trip is told how many they are.
func (r *rounds) join(ctx context.Context, trip func(ctx context.Context, callers int) (string, error)) (string, error) {
	now := time.Now()
	r.mu.Lock()
	switch {
	case r.current == nil:
		mine := &round{began: now, callers: 1}
		r.current = mine
		r.mu.Unlock()
		return r.lead(ctx, mine, trip)
	case now.Sub(r.current.began) > hanging:
		r.mu.Unlock()
		return trip(ctx, 1)
	case r.next == nil:
		mine := &round{callers: 1, turn: make(chan struct{}), done: make(chan struct{})}
		r.next = mine
		r.mu.Unlock()
		<-mine.turn // the store's own timeout bounds it
		return r.lead(ctx, mine, trip)
	}
	other := r.next
	other.callers++
	r.mu.Unlock()
	select {
	case <-other.done:
		return other.gen, other.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// lead makes the trip, and gives the turn to those who came meanwhile.
func (r *rounds) lead(ctx context.Context, mine *round, trip func(context.Context, int) (string, error)) (string, error) {
	mine.err = ErrUnsettled // for those who share a trip that panics
	defer func() {
		r.mu.Lock()
		r.current, r.next = r.next, nil
		if r.current != nil {
			r.current.began = time.Now()
			close(r.current.turn)
		}
		r.mu.Unlock()
		if mine.done != nil {
			close(mine.done)
		}
	}()
	if mine.done != nil {
		ctx = context.WithoutCancel(ctx) // the others must not lose the trip with the one who leads it
	}
	mine.gen, mine.err = trip(ctx, mine.callers)
	return mine.gen, mine.err
}
