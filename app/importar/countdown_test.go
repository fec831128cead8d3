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

func (s countedMaquinas) InsertAll(ctx context.Context, ms []maquinas.Maquina) error {
	err := s.Store.InsertAll(context.WithoutCancel(ctx), ms)
	if lost := s.writes.write(); err == nil {
		err = lost
	}
	return err
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

// overtaken is a store in which some machines appear right before the first write.
type overtaken struct {
	maquinas.Store
	once  sync.Once
	codes []string
}

func (s *overtaken) InsertAll(ctx context.Context, ms []maquinas.Maquina) error {
	var err error
	s.once.Do(func() {
		for _, codigo := range s.codes {
			m := maquinas.Maquina{Codigo: codigo, Tipo: maquinas.PC, Estado: maquinas.Operativa, Area: "Otra", Fecha: "2024-01-01"}
			if _, _, err = s.Insert(ctx, m, nil); err != nil {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return s.Store.InsertAll(ctx, ms)
}
