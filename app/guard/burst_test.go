package guard_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"siglab/app/errs"
	"siglab/app/guard"
)

// A dependency that pauses for 400 ms is waited for; one that has kept every call waiting for seconds is not.
func TestABurstIsNoOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guard.New(20*time.Second, isDown, nil).Limit(1)
		hold := func(d time.Duration) {
			go func() { _ = g.Do(t.Context(), func(context.Context) error { time.Sleep(d); return nil }) }()
			synctest.Wait()
		}
		nothing := func(context.Context) error { return nil }

		hold(400 * time.Millisecond)
		if err := g.Do(t.Context(), nothing); err != nil {
			t.Errorf("after a pause of 400 ms: got %v, want the call's turn", err)
		}
		hold(10 * time.Second)
		time.Sleep(2 * time.Second)
		began := time.Now()
		if err := g.Do(t.Context(), nothing); errs.KindOf(err) != errs.Unavailable || time.Since(began) != 200*time.Millisecond {
			t.Errorf("in an overload: got %v after %v, want a refusal after 200ms", err, time.Since(began))
		}
		time.Sleep(10 * time.Second)
	})
}
