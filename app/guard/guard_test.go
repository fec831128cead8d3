package guard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"siglab/app/errs"
	"siglab/app/guard"
)

var errDown = errors.New("connection refused")

func isDown(err error) bool { return errors.Is(err, errDown) }

func fail(context.Context) error { return errDown }

// open makes a guard whose circuit is open.
func open(t *testing.T, changes *[]bool) *guard.Guard {
	t.Helper()
	g := guard.New(time.Second, isDown, func(open bool) { *changes = append(*changes, open) })
	for range 5 {
		if err := g.Do(t.Context(), fail); errs.KindOf(err) != errs.Unavailable || !errors.Is(err, errDown) {
			t.Fatalf("a call that found the dependency down: got %v, want Unavailable with its cause", err)
		}
	}
	return g
}

func TestOpensAfterFailuresInARowAndRecovers(t *testing.T) {
	var changes []bool
	g := open(t, &changes)
	called := false
	err := g.Do(t.Context(), func(context.Context) error { called = true; return nil })
	if errs.KindOf(err) != errs.Unavailable || called {
		t.Fatalf("open circuit: got error %v and called=%v, want Unavailable without a call", err, called)
	}
	deadline := time.Now().Add(10 * time.Second)
	for g.Do(t.Context(), func(context.Context) error { return nil }) != nil {
		if time.Now().After(deadline) {
			t.Fatal("the circuit does not close although the dependency answers")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if len(changes) != 2 || !changes[0] || changes[1] {
		t.Errorf("state changes: got %v, want [true false]", changes)
	}
}

func TestAnswersAreNoOutage(t *testing.T) {
	g := guard.New(time.Second, isDown, nil)
	answer := errs.New(errs.NotFound, "no existe")
	for range 50 {
		if err := g.Do(t.Context(), func(context.Context) error { return answer }); err != answer {
			t.Fatalf("got %v, want the dependency's own answer", err)
		}
	}
}

func TestBoundsEachCall(t *testing.T) {
	g := guard.New(20*time.Millisecond, isDown, nil)
	err := g.Do(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a call past its time: got %v, want Unavailable", err)
	}
}

func TestImpatientCallersDoNotOpenTheCircuit(t *testing.T) {
	g := guard.New(time.Minute, isDown, nil)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		err := g.Do(ctx, func(ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() })
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want the caller's own cancellation", err)
		}
	}
	if err := g.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("after callers gave up: got %v, want a call", err)
	}
}

func TestAPanicDoesNotKeepTheTrial(t *testing.T) {
	var changes []bool
	g := open(t, &changes)
	panicked := func() (did bool) {
		defer func() { did = recover() != nil }()
		_ = g.Do(t.Context(), func(context.Context) error { panic("driver") })
		return
	}
	deadline := time.Now().Add(10 * time.Second)
	for !panicked() { // until a trial is let through
		if time.Now().After(deadline) {
			t.Fatal("no trial call was let through")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for g.Do(t.Context(), func(context.Context) error { return nil }) != nil {
		if time.Now().After(deadline) {
			t.Fatal("the circuit never lets another trial through")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Calls beyond the limit wait for their turn; those that wait too long are refused, and the dependency is not blamed for it.
func TestLimit(t *testing.T) {
	g := guard.New(time.Minute, isDown, func(open bool) { t.Errorf("the circuit changed: open=%v", open) }).Limit(2)
	running, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 2)
	hold := func(context.Context) error {
		running <- struct{}{}
		<-release
		return nil
	}
	for range 2 {
		go func() { done <- g.Do(t.Context(), hold) }()
		<-running
	}
	for range 6 { // one more than failures in a row that would open the circuit
		err := g.Do(t.Context(), func(context.Context) error { t.Error("a third call ran"); return nil })
		if e, ok := errors.AsType[*errs.Error](err); !ok || e.Kind != errs.Unavailable || !e.Refused || e.RetryAfter == 0 {
			t.Fatalf("got %v, want a refusal with a time to come again", err)
		}
	}
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("got %v, want its turn", err)
		}
	}
	if err := g.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("when all have had their turn: got %v", err)
	}
}

func TestAPanicDoesNotKeepItsTurn(t *testing.T) {
	g := guard.New(time.Second, isDown, nil).Limit(1)
	func() {
		defer func() { _ = recover() }()
		_ = g.Do(t.Context(), func(context.Context) error { panic("driver") })
	}()
	if err := g.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("after a panic: got %v, want a call", err)
	}
}

func TestNilCallsStraightThrough(t *testing.T) {
	var g *guard.Guard
	if err := g.Do(t.Context(), fail); err != errDown {
		t.Errorf("got %v, want the call's own error", err)
	}
}
