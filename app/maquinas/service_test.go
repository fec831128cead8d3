package maquinas_test

import (
	"context"
	"testing"
	"time"

	"siglab/app/cache"
	"siglab/app/errs"
	"siglab/app/idempotency"
	"siglab/app/maquinas"
	"siglab/app/memory"
)

// outcome is a store in which every write ends as it says, and lists are what stands in it now.
type outcome struct {
	maquinas.Store
	err   error
	added bool
	items []maquinas.Maquina
}

func (s *outcome) Page(context.Context, maquinas.Query) ([]maquinas.Maquina, error) {
	return s.items, nil
}

func (s *outcome) Insert(_ context.Context, m maquinas.Maquina, _ *idempotency.Key) (maquinas.Maquina, bool, error) {
	return m, s.added, s.err
}

func (s *outcome) Update(context.Context, string, func(maquinas.Maquina) (maquinas.Maquina, error)) (maquinas.Maquina, error) {
	return maquinas.Maquina{Codigo: "PC-1"}, s.err
}

func (s *outcome) Delete(context.Context, string, func(maquinas.Maquina) error) (maquinas.Maquina, error) {
	return maquinas.Maquina{Codigo: "PC-1"}, s.err
}

type nothing struct{ maquinas.Outbox }

func (nothing) PostponeDeletion(context.Context, int64, time.Time, bool) error { return nil }
func (nothing) FinishDeletion(context.Context, int64) error                    { return nil }
func (nothing) DeleteOfMaquina(context.Context, int64) (int64, error)          { return 0, nil }

// A write that was done, or may have been, must end what every replica's cache holds, whatever its client is told; one that was
// surely not done must leave the cache alone.
func TestWhatEndsACachedList(t *testing.T) {
	entrada := maquinas.Entrada{Codigo: "PC-1", Tipo: "PC", Estado: "operativa", Area: "Sala", Fecha: "2026-03-02"}
	add := func(s *maquinas.Service) error {
		_, err := s.Add(context.Background(), entrada, &idempotency.Key{ID: "clave"})
		return err
	}
	update := func(s *maquinas.Service) error {
		_, err := s.Update(context.Background(), entrada, nil)
		return err
	}
	remove := func(s *maquinas.Service) error { return s.Delete(context.Background(), "PC-1", nil) }
	refused := &errs.Error{Kind: errs.Unavailable, Refused: true}
	for _, tt := range []struct {
		name  string
		write func(*maquinas.Service) error
		err   error
		added bool
		ends  bool
	}{
		{"added", add, nil, true, true},
		{"a retry of what was added", add, nil, false, true},
		{"perhaps added", add, errs.New(errs.Unavailable, ""), false, true},
		{"not added, since it exists", add, errs.New(errs.Conflict, ""), false, false},
		{"not added for want of room", add, refused, false, false},
		{"changed", update, nil, false, true},
		{"perhaps changed", update, context.DeadlineExceeded, false, true},
		{"not changed, since it is not there", update, errs.New(errs.NotFound, ""), false, false},
		{"not changed for want of room", update, refused, false, false},
		{"removed", remove, nil, false, true},
		{"perhaps removed", remove, errs.New(errs.Unavailable, ""), false, true},
		{"gone, perhaps by a try whose answer was lost", remove, errs.New(errs.NotFound, ""), false, true},
		{"not removed, since it changed", remove, errs.New(errs.Stale, ""), false, false},
		{"not removed for want of room", remove, refused, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shared := memory.NewCache(1<<20, time.Minute, time.Now)
			store := &outcome{err: tt.err, added: tt.added, items: []maquinas.Maquina{{Codigo: "VIEJA"}}}
			replica := func() *maquinas.Service {
				return &maquinas.Service{
					Store: store, Outbox: nothing{}, Records: nothing{}, Cache: cache.New(shared, func(string, string) {}), Now: time.Now,
					Report: func(_ context.Context, what string, err error) { t.Errorf("%s: %v", what, err) },
				}
			}
			writer, reader := replica(), replica()
			first := func() string {
				t.Helper()
				p, err := reader.List(t.Context(), maquinas.Query{Campo: maquinas.PorCodigo, Limite: 10})
				if err != nil || len(p.Items) != 1 {
					t.Fatalf("got %v, %v, want one machine", p, err)
				}
				return p.Items[0].Codigo
			}
			first()
			store.items = []maquinas.Maquina{{Codigo: "NUEVA"}}
			if got := first(); got != "VIEJA" {
				t.Fatalf("before the write: got %s, want what the cache holds", got)
			}
			if err := tt.write(writer); (err == nil) != (tt.err == nil) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			want := "VIEJA"
			if tt.ends {
				want = "NUEVA"
			}
			if got := first(); got != want {
				t.Errorf("after the write another replica lists %s, want %s", got, want)
			}
		})
	}
}

// A list that one replica finds in the shared cache is as old as when another read it.
func TestACachedListKeepsItsTime(t *testing.T) {
	shared := memory.NewCache(1<<20, time.Minute, time.Now)
	store := &outcome{items: []maquinas.Maquina{{Codigo: "PC-1"}}}
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for _, now := range []time.Time{at, at.Add(50 * time.Second)} {
		s := &maquinas.Service{Store: store, Cache: cache.New(shared, func(string, string) {}), Now: func() time.Time { return now }}
		p, err := s.List(t.Context(), maquinas.Query{Campo: maquinas.PorCodigo, Limite: 10})
		if err != nil || !p.At.Equal(at) {
			t.Errorf("at %s: got a list of %s, %v, want one of %s", now, p.At, err, at)
		}
	}
}
