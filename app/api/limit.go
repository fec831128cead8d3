package api

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"siglab/app/errs"
	"siglab/app/telemetry"
)

// The adaptive limit on work in flight. It watches how long the operations that read and write the stores take, and lets fewer in
// when that grows without more getting done. Left out of it, since their time says nothing of the stores or nothing at all:
//   - a list that is served from this process's memory, which costs less than refusing it would be worth;
//   - logins and registrations, whose time is bcrypt's, which has a bounded pool and line of its own;
//   - the informe, whose time is its length and its reader's pace; few run at once;
//   - health, metrics and documentation.
//
// MAX_CONNECTIONS is the hard ceiling for all of them but health and documentation.
const (
	minLimit     = 16
	initialLimit = 64
	maxInforms   = 32 // reports at once
	// A burst waits for a permit this long at most before it is refused.
	maxWait = 100 * time.Millisecond
)

type limiter struct {
	adaptive adaptivelimiter.AdaptiveLimiter[any]
	ceiling  int64
	inFlight atomic.Int64
	informes atomic.Int64
	metrics  *telemetry.Metrics
}

func newLimiter(ceiling int, metrics *telemetry.Metrics) *limiter {
	most := uint(max(ceiling, 1))
	return &limiter{
		ceiling: int64(most), metrics: metrics,
		adaptive: adaptivelimiter.NewBuilder[any]().
			WithLimits(min(minLimit, most), most, min(initialLimit, most)).
			WithMaxLimitStabilizationWindow(30*time.Second).
			WithQueueing(2, 3).
			Build(),
	}
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
func (l *limiter) do(ctx context.Context, work func() error) error {
	permit, err := l.adaptive.AcquirePermitWithMaxWait(ctx, maxWait) // the builder's own wait holds for executors only
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
