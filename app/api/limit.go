package api

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"siglab/app/errs"
)

// The adaptive limits on work in flight. Each watches how long the operations that read and write its stores take, and lets fewer in when
// that grows without more getting done. There is one for what needs the machines' store alone and one for what needs the records' too, so
// that slow records do not turn machines away. Left out of both, since their time says nothing of the stores:
//   - a list that is served from this process's memory, which costs less than refusing it would be worth;
//   - logins and registrations, whose time is bcrypt's, which has a bounded pool and line of its own;
//   - the informe, whose time is its length and its reader's pace; few run at once;
//   - health, metrics and documentation.
//
// MAX_CONNECTIONS is the hard ceiling for all of them but health and documentation.
const (
	// minLimit is as many as a pool of connections is large by default: fewer would leave it idle.
	minLimit     = 10
	initialLimit = 20
	maxInforms   = 32 // reports at once

	// A quiet service has a low limit, and a burst is no overload: what finds no permit waits for one, in a line that is short in time.
	maxWait = 100 * time.Millisecond
	// The line's length, in multiples of the limit, from which some and from which all are refused without waiting.
	lineSome, lineAll = 6, 10

	// How often the limit is set anew, and by how many requests at least. The baseline of what is normal is remembered for
	// many such windows, so that an overload does not become the normal.
	windowMin, windowMax = 250 * time.Millisecond, 2 * time.Second
	windowRequests       = 10
	baselineWindows      = 60
	// The highest load of this time bounds how far the limit is above it.
	peakMemory = 10 * time.Second
)

// stores says which stores an operation needs.
type stores uint8

const (
	ofMachines stores = iota
	ofRecords         // and machines
)

type limiter struct {
	adaptive [2]adaptivelimiter.AdaptiveLimiter[any] // by stores
	ceiling  int64
	inFlight atomic.Int64
	informes atomic.Int64
}

func newLimiter(ceiling int) *limiter {
	most := uint(max(ceiling, 1))
	l := &limiter{ceiling: int64(most)}
	for i := range l.adaptive {
		l.adaptive[i] = adaptivelimiter.NewBuilder[any]().
			WithLimits(min(minLimit, most), most, min(initialLimit, most)).
			WithRecentWindow(windowMin, windowMax, windowRequests).
			WithBaselineWindow(baselineWindows).
			WithMaxLimitStabilizationWindow(peakMemory).
			WithQueueing(lineSome, lineAll).
			WithMaxWaitTime(maxWait).
			Build()
	}
	return l
}

// enter takes a place below the ceiling, which leave gives back.
func (l *limiter) enter() bool {
	if l.inFlight.Add(1) > l.ceiling {
		l.inFlight.Add(-1)
		return false
	}
	return true
}

func (l *limiter) leave() { l.inFlight.Add(-1) }

// do runs work under a permit, or returns errOverload. Work that failed early, for a reason that is no outage, does not count as a
// measure of how fast the stores are.
func (l *limiter) do(ctx context.Context, on stores, work func() error) error {
	permit, err := l.adaptive[on].AcquirePermitWithMaxWait(ctx, maxWait) // the builder's own wait holds for executors only
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errOverload
	}
	counted := false
	defer func() {
		if counted {
			permit.Record()
		} else {
			permit.Drop()
		}
	}()
	err = work()
	counted = err == nil || errs.KindOf(err) == errs.NotFound || errors.Is(err, context.DeadlineExceeded)
	return err
}
