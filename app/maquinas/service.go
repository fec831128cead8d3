package maquinas

import (
	"context"
	"errors"
	"time"

	"siglab/app/cache"
	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/idempotency"
)

// Space is the cache's space for everything that is made of machines; each write of a machine replaces its generation.
const Space = "maquinas"

// spaceTotals holds counts of lists. No write touches it, so a count is as old as the cache's TTL at most, which the contract
// allows.
const spaceTotals = "totales"

// Service lists, adds, changes and removes machines.
type Service struct {
	Store   Store
	Outbox  Outbox
	Records Records
	Cache   *cache.Cache
	Now     func() time.Time
	// Grace is how long after a deletion a request that began before it may still add a record: longer than any request lives.
	Grace time.Duration
	// Report is told of work that failed and will be tried again.
	Report func(ctx context.Context, what string, err error)
}

// Pagina is one page of a list.
type Pagina struct {
	Items []Maquina
	Total int64  // how many the filter selects
	Next  string // the cursor of the next page; empty on the last
	// At is when it was read from the store, by the clock of the replica that did. A list from a cache may not live on in another for
	// a whole TTL again.
	At time.Time
}

// List returns one page. First pages without a search are cached.
func (s *Service) List(ctx context.Context, q Query) (Pagina, error) {
	if q.After != nil || q.Buscar != "" {
		return s.load(ctx, q)
	}
	return cache.Read(ctx, s.Cache, "listar", Space, "lista:"+q.Key(), func(ctx context.Context) (Pagina, error) { return s.load(ctx, q) })
}

func (s *Service) load(ctx context.Context, q Query) (Pagina, error) {
	more := q
	more.Limite++ // one row more than asked for tells whether there is a next page
	at := s.Now()
	items, err := s.Store.Page(ctx, more)
	if err != nil {
		return Pagina{}, err
	}
	if len(items) <= q.Limite && q.After == nil {
		return Pagina{Items: items, Total: int64(len(items)), At: at}, nil
	}
	p := Pagina{Items: items, At: at}
	if len(items) > q.Limite {
		p.Items = items[:q.Limite]
		p.Next = q.cursor(p.Items[q.Limite-1])
	}
	p.Total, err = cache.Read(ctx, s.Cache, "listar", spaceTotals, Query{Filtro: q.Filtro}.Key(),
		func(ctx context.Context) (int64, error) { return s.Store.Count(ctx, q.Filtro) })
	return p, err
}

// Ficha is a machine as it was read.
type Ficha struct {
	Maquina
	At  time.Time // when it was read from the store or written to it, by the clock of the replica that did
	Gen string    `json:"-"` // the cache's generation under which it is current; empty when that is not known
}

// ByCodigo returns one machine, or NotFound.
func (s *Service) ByCodigo(ctx context.Context, codigo string) (Ficha, error) {
	f, gen, err := cache.ReadGeneration(ctx, s.Cache, "maquina", Space, entry(clave.Of(codigo)), func(ctx context.Context) (Ficha, error) {
		at := s.Now()
		m, err := s.Store.ByCodigo(ctx, codigo)
		return Ficha{Maquina: m, At: at}, err
	})
	f.Gen = gen
	return f, err
}

// Add registers a machine. Conflict says that the code exists. With a key that was used for the same body it returns what was
// registered then.
func (s *Service) Add(ctx context.Context, e Entrada, key *idempotency.Key) (Maquina, error) {
	m, err := New(e)
	if err != nil {
		return Maquina{}, err
	}
	seen := s.Cache.Seen(Space)
	codigo := m.Codigo
	m, added, err := s.Store.Insert(ctx, m, key)
	switch {
	case err == nil && added:
		s.announce(ctx, seen, m.Codigo, &m)
	case err == nil, uncertain(err): // a replay's first answer was lost, perhaps before its write was announced
		s.announce(ctx, seen, codigo, nil)
	}
	return m, err
}

// announce makes every replica see a committed write from now on, with what it made of the machine, nil when that is not known.
func (s *Service) announce(ctx context.Context, seen, codigo string, m *Maquina) {
	var value any
	if m != nil {
		value = Ficha{Maquina: *m, At: s.Now()}
	}
	s.Cache.Advance(context.WithoutCancel(ctx), Space, seen, entry(clave.Of(codigo)), value)
}

// uncertain says that a write may have been committed although it failed: its answer may have been lost on the way.
func uncertain(err error) bool {
	e, ok := errors.AsType[*errs.Error](err)
	return !ok || e.Kind == errs.Internal || e.Kind == errs.Unavailable && !e.Refused
}

// AddAll registers machines that New made, MaxBatch at a time at most: all of them or, when a code exists, none and Conflict.
func (s *Service) AddAll(ctx context.Context, ms []Maquina) error {
	seen := s.Cache.Seen(Space)
	err := s.Store.InsertAll(ctx, ms)
	if err == nil {
		s.Cache.Advance(context.WithoutCancel(ctx), Space, seen, "", nil)
	}
	return err
}

// Precondition says whether a write may go on from the state a machine is in; nil allows any.
type Precondition func(Maquina) bool

func (p Precondition) check(m Maquina) error {
	if p != nil && !p(m) {
		return errs.New(errs.Stale, "La máquina cambió desde que usted la leyó; vuelva a cargarla antes de guardar.")
	}
	return nil
}

// Update changes the fields that e fills of the machine that e names. NotFound, or Stale when the precondition does not hold.
func (s *Service) Update(ctx context.Context, e Entrada, pre Precondition) (Maquina, error) {
	seen := s.Cache.Seen(Space)
	m, err := s.Store.Update(ctx, e.Codigo, func(m Maquina) (Maquina, error) {
		if err := pre.check(m); err != nil {
			return m, err
		}
		return m.Change(e)
	})
	if err == nil {
		s.announce(ctx, seen, m.Codigo, &m)
	} else if uncertain(err) {
		s.announce(ctx, seen, e.Codigo, nil)
	}
	return m, err
}

// Delete removes a machine and its records. NotFound, or Stale when the precondition does not hold. Once it returns without an error the
// machine is gone; records that could not be removed at once are removed by the Reconciler.
func (s *Service) Delete(ctx context.Context, codigo string, pre Precondition) error {
	seen := s.Cache.Seen(Space)
	m, err := s.Store.Delete(ctx, codigo, pre.check)
	// Who is told that there is no such machine may be trying again: the first answer was lost, perhaps before it was announced.
	if err == nil || uncertain(err) || errs.KindOf(err) == errs.NotFound {
		s.announce(ctx, seen, codigo, nil)
	}
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	s.sweep(ctx, Deletion{MaquinaID: m.ID, Codigo: m.Codigo, At: s.Now()})
	return nil
}

// Resumen returns the counts of the dashboard.
func (s *Service) Resumen(ctx context.Context) (Resumen, error) {
	return cache.Read(ctx, s.Cache, "dashboard", Space, "resumen", s.Store.Resumen)
}

func entry(clave string) string { return "maquina:" + clave }
