package mantenimientos

import (
	"context"
	"fmt"
	"time"

	"siglab/app/cache"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/idempotency"
	"siglab/app/maquinas"
)

// Space is the cache's space for figures made of records; each write of a record replaces its generation.
const Space = "mantenimientos"

// spaceTotals holds counts of lists, each at most as old as the cache's TTL.
const spaceTotals = "totales"

// Service records work on machines and reports it.
type Service struct {
	Store    Store
	Maquinas maquinas.Store
	Cache    *cache.Cache
	Now      func() time.Time
}

// Pagina is one page of records.
type Pagina struct {
	Items []Mantenimiento
	Total int64  // how many the filter selects
	Next  string // the cursor of the next page; empty on the last
}

// Add records work on the machine that e names, in the form in which the machine's code was registered. NotFound says that there is no
// such machine. With a key that was used for the same body it adds nothing and returns what was recorded then.
func (s *Service) Add(ctx context.Context, e Entrada, key *idempotency.Key) (Mantenimiento, error) {
	m, err := New(e)
	if err != nil {
		return Mantenimiento{}, err
	}
	maquina, err := s.Maquinas.ByCodigo(ctx, m.CodigoMaquina)
	if err != nil {
		return Mantenimiento{}, err
	}
	m.MaquinaID, m.CodigoMaquina = maquina.ID, maquina.Codigo
	seen := s.Cache.Seen(Space)
	m, err = s.Store.Insert(ctx, m, key)
	if kind := errs.KindOf(err); err == nil || kind == errs.Unavailable || kind == errs.Internal { // it may be there although it failed
		s.Cache.Advance(context.WithoutCancel(ctx), Space, seen, "", nil)
	}
	return m, err
}

// Historial returns a page of one machine's records, or NotFound for an unknown machine.
func (s *Service) Historial(ctx context.Context, codigo string, q Query) (Pagina, error) {
	m, err := s.Maquinas.ByCodigo(ctx, codigo)
	if err != nil {
		return Pagina{}, err
	}
	q.MaquinaID = m.ID
	return s.List(ctx, q)
}

// List returns a page of records.
func (s *Service) List(ctx context.Context, q Query) (Pagina, error) {
	more := q
	more.Limite++ // one row more than asked for tells whether there is a next page
	items, err := s.Store.Page(ctx, more)
	if err != nil {
		return Pagina{}, err
	}
	if len(items) <= q.Limite && q.After == nil {
		return Pagina{Items: items, Total: int64(len(items))}, nil
	}
	p := Pagina{Items: items}
	if len(items) > q.Limite {
		p.Items = items[:q.Limite]
		p.Next = q.cursor(p.Items[q.Limite-1])
	}
	p.Total, err = cache.Read(ctx, s.Cache, "listar", spaceTotals, fmt.Sprintf("mantenimientos:%+v", q.Filtro),
		func(ctx context.Context) (int64, error) { return s.Store.Count(ctx, q.Filtro) })
	return p, err
}

// DeleteOfMaquina removes every record of a machine and says how many there were.
func (s *Service) DeleteOfMaquina(ctx context.Context, maquinaID int64) (int64, error) {
	seen := s.Cache.Seen(Space)
	n, err := s.Store.DeleteOfMaquina(ctx, maquinaID)
	if n > 0 {
		s.Cache.Advance(context.WithoutCancel(ctx), Space, seen, "", nil)
	}
	return n, err
}

// Resumen returns the figures of the dashboard, day by day from since on.
func (s *Service) Resumen(ctx context.Context, since fecha.Fecha) (Resumen, error) {
	return cache.Read(ctx, s.Cache, "dashboard", Space, "resumen:"+string(since),
		func(ctx context.Context) (Resumen, error) { return s.Store.Resumen(ctx, since) })
}

// ForgetKeys removes expired idempotency keys every interval, until ctx ends.
func (s *Service) ForgetKeys(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.Store.ForgetKeys(ctx, s.Now().Add(-idempotency.Life)) // the next tick tries again
		}
	}
}
