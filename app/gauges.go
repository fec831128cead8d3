package app

import (
	"context"
	"math"
	"time"

	"siglab/app/maquinas"
	"siglab/app/usuarios"
)

// The values that a scrape asks for are kept here by the work that learns them anyway: a scrape waits for no store.

func (st *stores) setBacklog(b maquinas.Backlog) { st.pending.Store(&b) }

func (st *stores) outboxPending() float64 {
	b := st.pending.Load()
	if b == nil {
		return math.NaN()
	}
	return float64(b.Pending)
}

func (st *stores) outboxAge() float64 {
	switch b := st.pending.Load(); {
	case b == nil:
		return math.NaN()
	case b.Oldest.IsZero():
		return 0
	default:
		return max(0, time.Since(b.Oldest).Seconds())
	}
}

func (st *stores) sessionsActive() float64 {
	if n := st.sesiones.Load(); n >= 0 {
		return float64(n)
	}
	return math.NaN()
}

// followSessions counts the open sessions now and then, until ctx ends.
func (st *stores) followSessions(ctx context.Context, u *usuarios.Service) {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		n := int64(-1)
		if list, err := u.Sessions.Active(ctx, u.Now()); err == nil {
			n = int64(len(list))
		}
		st.sesiones.Store(n)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
