package cache

import (
	"context"
	"sync"
	"time"
)

// looks lets requests that ask for a generation at the same time share one round trip. It is a fast path: under load the look at the
// store is most of what a request from memory costs, and with it shared the cost falls below that of one look each (docs/performance.md).
// Nobody is given an answer to a question that was asked before they came, which might miss a write that was answered in between: who comes
// while a look is under way shares the next one. TestASharedLookBeginsAfterItsCallers holds it to that.
type looks struct {
	mu      sync.Mutex
	current *look // under way
	next    *look // waits for it
}

type look struct {
	began time.Time
	turn  chan struct{} // closed when the look before has ended; nil when there was none
	done  chan struct{} // closed when gen and err are set; nil when nobody can wait for them
	gen   string
	err   error
}

// hanging is how long a look is under way when others no longer wait for it but look for themselves: the store is slow, and callers in a
// row would add their timeouts up.
const hanging = 5 * time.Millisecond

// ask returns what a look that begins after this call finds. Those who share it share its failure.
func (l *looks) ask(ctx context.Context, generation func(context.Context) (string, error)) (string, error) {
	now := time.Now()
	l.mu.Lock()
	switch {
	case l.current == nil:
		mine := &look{began: now}
		l.current = mine
		l.mu.Unlock()
		return l.lead(ctx, mine, generation)
	case now.Sub(l.current.began) > hanging:
		l.mu.Unlock()
		return generation(ctx)
	case l.next == nil:
		mine := &look{turn: make(chan struct{}), done: make(chan struct{})}
		l.next = mine
		l.mu.Unlock()
		<-mine.turn // the store's own timeout bounds it
		return l.lead(ctx, mine, generation)
	}
	other := l.next
	l.mu.Unlock()
	select {
	case <-other.done:
		return other.gen, other.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// lead looks, and gives the turn to those who came meanwhile.
func (l *looks) lead(ctx context.Context, mine *look, generation func(context.Context) (string, error)) (string, error) {
	mine.err = ErrUnsettled // for those who share a look that panics
	defer func() {
		l.mu.Lock()
		l.current, l.next = l.next, nil
		if l.current != nil {
			l.current.began = time.Now()
			close(l.current.turn)
		}
		l.mu.Unlock()
		if mine.done != nil {
			close(mine.done)
		}
	}()
	if mine.done != nil {
		ctx = context.WithoutCancel(ctx) // the others must not lose the look with the one who leads it
	}
	mine.gen, mine.err = generation(ctx)
	return mine.gen, mine.err
}
