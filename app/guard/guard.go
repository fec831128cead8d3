// Package guard stands between the service and one dependency: it bounds each call in time and, after several failures in a
// row, answers for the dependency until a trial succeeds, so that callers fail at once instead of waiting for what is down.
package guard

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"golang.org/x/sync/semaphore"

	"siglab/app/errs"
)

const (
	failures = 5           // in a row that open the circuit
	pause    = time.Second // until a trial call is let through
	// patience is the longest that a call waits for its turn. It is what an overload adds to a request's time, which must stay
	// inside the SLO with two dependencies in turn, and how soon a request that lacks a hanging dependency gives its place up.
	patience = 200 * time.Millisecond
	// burstPatience takes its place until no call has had its turn at once for burst: a dependency that paused for a moment, or many
	// calls at once, are no overload yet.
	burstPatience = 500 * time.Millisecond
	burst         = time.Second
)

// Guard protects the calls to one dependency. A nil Guard calls straight through, for stores inside this process.
type Guard struct {
	timeout time.Duration
	outage  func(error) bool
	breaker circuitbreaker.CircuitBreaker[any]
	turns   *semaphore.Weighted // nil without Limit
	free    atomic.Int64        // when a call last had its turn at once, in Unix nanoseconds
}

// New makes a guard whose calls take at most timeout. outage says whether an error means that the dependency does not work, as
// opposed to an answer of it; opened, if not nil, is told of each change of the circuit.
func New(timeout time.Duration, outage func(error) bool, opened func(open bool)) *Guard {
	b := circuitbreaker.NewBuilder[any]().WithFailureThreshold(failures).WithSuccessThreshold(1).WithDelay(pause).WithJitterFactor(0.2)
	if opened != nil {
		b = b.OnOpen(func(circuitbreaker.StateChangedEvent) { opened(true) }).
			OnClose(func(circuitbreaker.StateChangedEvent) { opened(false) })
	}
	return &Guard{timeout: timeout, outage: outage, breaker: b.Build()}
}

// Limit lets no more than that many calls run at once, and returns g. Others wait for their turn for a moment and are then refused:
// left to wait in the dependency's pool, they would run into the timeout there, be taken for its failures and open the circuit.
func (g *Guard) Limit(calls int) *Guard {
	g.turns = semaphore.NewWeighted(int64(calls))
	return g
}

// turn waits until call may run; errBusy, or ctx's error, when that is not soon enough.
func (g *Guard) turn(ctx context.Context) error {
	now := time.Now()
	if g.turns.TryAcquire(1) {
		g.free.Store(now.UnixNano())
		return nil
	}
	most := patience
	if now.Sub(time.Unix(0, g.free.Load())) < burst {
		most = burstPatience
	}
	waiting, cancel := context.WithTimeout(ctx, min(most, g.timeout/2))
	defer cancel()
	if g.turns.Acquire(waiting, 1) == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errBusy
}

// errBusy is a value, since refusing must cost little.
var errBusy = &errs.Error{
	Kind:       errs.Unavailable,
	Message:    "El servicio está al límite de su capacidad; intente de nuevo en unos segundos.",
	RetryAfter: time.Second,
	Refused:    true,
}

// Do runs call with a context that ends after the guard's timeout or with ctx. An outage comes back as an errs.Unavailable error with
// its cause; a call that ctx cut short comes back as ctx's error and says nothing about the dependency.
func (g *Guard) Do(ctx context.Context, call func(context.Context) error) error {
	if g == nil {
		return call(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.turns != nil {
		if err := g.turn(ctx); err != nil {
			return err
		}
		defer g.turns.Release(1)
	}
	if !g.breaker.TryAcquirePermit() {
		return unavailable(nil)
	}
	inner, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	recorded := false
	defer func() {
		if !recorded { // a panic must not keep the permit of a half-open circuit
			g.breaker.RecordFailure()
		}
	}()
	err := call(inner)
	recorded = true
	switch {
	case err == nil:
		g.breaker.RecordSuccess()
		return nil
	case ctx.Err() != nil:
		// The caller gave up, which says nothing of a closed circuit; the trial call of a half-open one has proven nothing.
		if g.breaker.IsHalfOpen() {
			g.breaker.RecordFailure()
		}
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), g.outage(err):
		g.breaker.RecordFailure()
		return unavailable(err)
	}
	g.breaker.RecordSuccess()
	return err
}

func unavailable(cause error) error {
	return &errs.Error{
		Kind:       errs.Unavailable,
		Message:    "El servicio de datos no responde en este momento; intente de nuevo en unos segundos.",
		RetryAfter: 2 * time.Second,
		Cause:      cause,
	}
}
