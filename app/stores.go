package app

import (
	"context"
	"sync/atomic"

	"go.uber.org/zap"

	"siglab/app/cache"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/sistema"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// stores is what everything is kept in: three servers, or one folder.
type stores struct {
	maquinas       maquinas.Store
	outbox         maquinas.Outbox
	usuarios       usuarios.Store
	mantenimientos mantenimientos.Store
	cache          cache.Store
	sessions       usuarios.Sessions
	limiter        usuarios.Limiter
	dependencies   []sistema.Dependency

	// prepare returns when the stores can serve, or with a fatal error that waiting does not mend.
	prepare func(context.Context, *zap.Logger) error
	// follow announces to the cache what other processes write, until ctx ends; nil where every process announces its own.
	follow func(context.Context, *cache.Cache)
	// refused gets an error when a store that was not there at the start turns out not to take its password.
	refused chan error
	closers closers

	pending  atomic.Pointer[maquinas.Backlog]
	sesiones atomic.Int64 // open sessions in the whole service; -1 is unknown
}

// openStores opens what the configuration names. Nothing is asked of a server yet.
func openStores(c Config, tel *telemetry.Telemetry) (*stores, error) {
	st := &stores{refused: make(chan error, 3)}
	st.sesiones.Store(-1)
	var err error
	if c.DataDir != "" {
		err = st.embedded(c, tel)
	} else {
		err = st.servers(c, tel)
	}
	if err != nil {
		_ = st.close(context.Background()) // what was opened before the failure; the failure is what matters
		return nil, err
	}
	tel.Metrics.RegisterGauges(telemetry.Gauges{
		OutboxPending:   st.outboxPending,
		OutboxOldestAge: st.outboxAge,
		SessionsActive:  st.sessionsActive,
	})
	return st, nil
}

func (st *stores) close(context.Context) error { return st.closers.close() }
