package importar_test

import (
	"context"
	"sync"

	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
)

// countdown ends something after a number of writes: the one after the last is done, but its answer is lost.
type countdown struct {
	mu   sync.Mutex
	left int
	end  func()
}

func (c *countdown) write() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		c.end()
		return context.Canceled
	}
	return nil
}

type countedMaquinas struct {
	maquinas.Store
	writes *countdown
}

func (s countedMaquinas) Insert(ctx context.Context, m maquinas.Maquina, key *idempotency.Key) (maquinas.Maquina, bool, error) {
	m, added, err := s.Store.Insert(context.WithoutCancel(ctx), m, key)
	if lost := s.writes.write(); err == nil {
		err = lost
	}
	return m, added, err
}

type countedMantenimientos struct {
	mantenimientos.Store
	writes *countdown
}

func (s countedMantenimientos) Insert(ctx context.Context, m mantenimientos.Mantenimiento, key *idempotency.Key) (mantenimientos.Mantenimiento, error) {
	m, err := s.Store.Insert(context.WithoutCancel(ctx), m, key)
	if lost := s.writes.write(); err == nil {
		err = lost
	}
	return m, err
}
