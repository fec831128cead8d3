package sistema_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"siglab/app/errs"
	"siglab/app/sistema"
)

func TestRequestsWaitForTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &sistema.Monitor{Patience: 3 * time.Second}
		began := time.Now()
		if err := m.Admit(t.Context()); errs.KindOf(err) != errs.Unavailable || time.Since(began) != 3*time.Second {
			t.Errorf("a start that takes too long: got %v after %v, want Unavailable after 3s", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Admit(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that left: got %v, want Canceled", err)
		}

		admitted := make(chan error, 1)
		began = time.Now()
		go func() { admitted <- m.Admit(t.Context()) }()
		time.Sleep(time.Second)
		m.SetReady()
		if err := <-admitted; err != nil || time.Since(began) != time.Second {
			t.Errorf("a request that came before the start: got %v after %v, want to be let in after 1s", err, time.Since(began))
		}
		if err := m.Admit(t.Context()); err != nil {
			t.Errorf("after the start: got %v", err)
		}
		m.SetDraining()
		if err := m.Admit(t.Context()); err != nil {
			t.Errorf("while draining: got %v, want to be served", err)
		}
	})
}
