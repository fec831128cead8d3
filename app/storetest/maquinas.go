package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/idempotency"
	"siglab/app/maquinas"
)

// store is what a registry of machines offers: the two interfaces of one adapter on the same data.
type store struct {
	maquinas.Store
	maquinas.Outbox
}

// Maquinas checks a maquinas.Store and its Outbox. open returns new and empty ones each time, which take their time from now and are
// gone when the test ends.
func Maquinas(t *testing.T, open func(t *testing.T, now func() time.Time) (maquinas.Store, maquinas.Outbox)) {
	for name, test := range map[string]func(*testing.T, store, *Clock){
		"round trip":                     maquinasRoundTrip,
		"codes are folded":               maquinasFolding,
		"odd bytes":                      maquinasOddBytes,
		"order and pages":                maquinasPages,
		"filters":                        maquinasFilters,
		"summary":                        maquinasResumen,
		"update":                         maquinasUpdate,
		"updates at once":                maquinasUpdatesAtOnce,
		"delete":                         maquinasDelete,
		"IDs are not used again":         maquinasIDs,
		"inserts of one code at once":    maquinasInsertsAtOnce,
		"batches":                        maquinasBatches,
		"random calls":                   maquinasRandom,
		"keys":                           maquinasKeys,
		"keys of refused inserts":        maquinasKeysConflict,
		"keys expire":                    maquinasKeysExpire,
		"keys at the same time":          maquinasKeysAtOnce,
		"keys with two bodies at once":   maquinasKeysTwoBodies,
		"keys are forgotten":             maquinasForgetKeys,
		"outbox":                         maquinasOutbox,
		"outbox claimed by many at once": maquinasOutboxAtOnce,
		"ended context":                  maquinasEnded,
	} {
		t.Run(name, func(t *testing.T) {
			clock := NewClock()
			s, o := open(t, clock.Now)
			test(t, store{s, o}, clock)
		})
	}
}

func machine(codigo string) maquinas.Maquina {
	return maquinas.Maquina{Codigo: codigo, Tipo: maquinas.PC, Estado: maquinas.Operativa, Area: "Redes", Fecha: "2024-03-01", Usuario: "Ana Ruiz"}
}

func (s store) add(t *testing.T, m maquinas.Maquina) maquinas.Maquina {
	t.Helper()
	got, fresh, err := s.Insert(t.Context(), m, nil)
	if err != nil {
		t.Fatalf("Insert %q: %v", m.Codigo, err)
	}
	m.ID, m.Version = got.ID, 1
	if !fresh || got.ID <= 0 || got != m {
		t.Fatalf("Insert: got %+v, %v; want %+v with an ID, true", got, fresh, m)
	}
	return got
}

func (s store) list(t *testing.T) []maquinas.Maquina {
	t.Helper()
	list, err := s.Page(t.Context(), maquinas.Query{Campo: maquinas.PorCodigo, Limite: maquinas.MaxLimite})
	must(t, "Page", err)
	return list
}

func keep(m maquinas.Maquina) (maquinas.Maquina, error) { return m, nil }

func accept(maquinas.Maquina) error { return nil }

// fill adds n machines with few different values, so that every order has ties, and returns them by key.
func (s store) fill(t *testing.T, r *rand.Rand, n int) []maquinas.Maquina {
	t.Helper()
	areas := []string{"Redes", "redes", "Álgebra", "Zoología", "algebra", "Ñ", "N", "Nz", "Lab 1", "Lab 10", "Lab 2", "🖥️ sala", "Redes y más", "'", `\`}
	heads := []string{"PC-", "pc_", "Imp.", "Ñ-", "n-", "É%", "🖥️", "a'b", `c\d`, "ß", "Z", "(x)*"}
	var list []maquinas.Maquina
	for i := range n {
		list = append(list, s.add(t, maquinas.Maquina{
			Codigo: pick(r, heads...) + strconv.Itoa(i),
			Tipo:   pick(r, maquinas.Tipos[:]...), Estado: pick(r, maquinas.Estados[:]...), Area: pick(r, areas...),
			Fecha:   fecha.Fecha(fmt.Sprintf("20%02d-0%d-1%d", 20+r.IntN(3), 1+r.IntN(2), r.IntN(3))),
			Usuario: pick(r, "", "Ana", "Óscar Núñez", "O'Higgins"),
		}))
	}
	slices.SortFunc(list, byKey)
	return list
}

func byKey(a, b maquinas.Maquina) int { return cmp.Compare(clave.Of(a.Codigo), clave.Of(b.Codigo)) }

func value(m maquinas.Maquina, c maquinas.Campo) string {
	switch c {
	case maquinas.PorTipo:
		return string(m.Tipo)
	case maquinas.PorEstado:
		return string(m.Estado)
	case maquinas.PorArea:
		return m.Area
	case maquinas.PorFecha:
		return string(m.Fecha)
	}
	return clave.Of(m.Codigo)
}

func selected(f maquinas.Filtro, m maquinas.Maquina) bool {
	return (f.Tipo == "" || f.Tipo == m.Tipo) && (f.Estado == "" || f.Estado == m.Estado) && (f.Area == "" || f.Area == m.Area) &&
		(f.Desde == "" || m.Fecha >= f.Desde) && (f.Hasta == "" || m.Fecha <= f.Hasta) && strings.Contains(clave.Of(m.Codigo), f.Buscar)
}

func maquinasRoundTrip(t *testing.T, s store, _ *Clock) {
	if got := s.list(t); len(got) != 0 {
		t.Fatalf("a new store holds %d machines", len(got))
	}
	var want []maquinas.Maquina
	for i, text := range texts {
		m := machine(text + strconv.Itoa(i)) // as codes of the old system are: white space and signs included
		m.Area, m.Usuario = text, text
		want = append(want, s.add(t, m))
	}
	m := machine(long("日", maquinas.MaxCodigo))
	m.Area, m.Usuario = long("𝔘", maquinas.MaxArea), long("ñ", maquinas.MaxUsuario)
	m.Tipo, m.Estado, m.Fecha = maquinas.IMP, maquinas.EnMantenimiento, "9999-12-31"
	want = append(want, s.add(t, m))
	m = machine(long("\U0001D160", maquinas.MaxCodigo)) // each grows threefold when it is composed
	m.Usuario, m.Estado, m.Fecha = "", maquinas.FueraDeServicio, "1000-01-01"
	want = append(want, s.add(t, m))
	for _, w := range want {
		got, err := s.ByCodigo(t.Context(), w.Codigo)
		must(t, "ByCodigo", err)
		if got != w {
			t.Errorf("ByCodigo(%q): got %+v, want %+v", w.Codigo, got, w)
		}
	}
	slices.SortFunc(want, byKey)
	equalSlices(t, "Page", s.list(t), want)
	for _, codigo := range []string{"", "x", "%", "_", "?", "' OR '1'='1", "*", "0"} {
		_, err := s.ByCodigo(t.Context(), codigo)
		wantKind(t, "ByCodigo "+codigo, err, errs.NotFound)
	}
}

func maquinasFolding(t *testing.T, s store, _ *Clock) {
	for _, c := range []struct{ typed, same, other []string }{
		{[]string{"Ñandú-1"}, []string{"ñandú-1", "ÑANDÚ-1", "N\u0303andu\u0301-1", "n\u0303ANDU\u0301-1"}, []string{"nandu-1", "Ñandu-1", "nandú-1", "Ñandú-1x", "Ñandú"}},
		{[]string{"PC-École"}, []string{"pc-école", "PC-E\u0301cole", "Pc-éCOLE"}, []string{"PC-Ecole", "PC-ècole"}},
		{[]string{"Straße"}, []string{"STRASSE", "strasse", "STRAẞE"}, []string{"Strase", "Strabe"}},
		{[]string{"İzmir"}, []string{"i\u0307zmir", "I\u0307ZMIR"}, []string{"izmir", "IZMIR", "ızmir"}},
		{[]string{"Kıl"}, []string{"kıl", "KıL"}, []string{"kil", "KIL"}},
		{[]string{"ΣΑΣ"}, []string{"σας", "σασ", "Σας"}, []string{"σα"}},
		{[]string{"Å1"}, []string{"å1", "A\u030A1", "\u212B1"}, []string{"a1", "A1"}},
		{[]string{"a\u0323\u0307"}, []string{"a\u0307\u0323", "Ạ\u0307"}, []string{"ạ", "ȧ"}},
		{[]string{"𐐀"}, []string{"𐐨"}, []string{"𐐁"}},
		{[]string{"ab"}, []string{"AB", "aB"}, []string{"ab ", " ab", "ab\x00", "a"}},
	} {
		m := s.add(t, machine(c.typed[0]))
		for _, same := range append(c.same, c.typed...) {
			got, err := s.ByCodigo(t.Context(), same)
			if err != nil || got != m {
				t.Errorf("ByCodigo(%q): got %+v, %v; want %+v", same, got, err, m)
			}
			_, _, err = s.Insert(t.Context(), machine(same), nil)
			wantKind(t, fmt.Sprintf("Insert %q beside %q", same, m.Codigo), err, errs.Conflict)
			if m, err = s.Update(t.Context(), same, keep); err != nil {
				t.Fatalf("Update(%q): %v", same, err)
			}
		}
		for _, other := range c.other {
			_, err := s.ByCodigo(t.Context(), other)
			wantKind(t, fmt.Sprintf("ByCodigo %q where there is %q", other, m.Codigo), err, errs.NotFound)
		}
		got, err := s.Delete(t.Context(), c.same[0], accept)
		if err != nil || got != m {
			t.Errorf("Delete(%q): got %+v, %v; want %+v", c.same[0], got, err, m)
		}
	}
}

func maquinasOddBytes(t *testing.T, s store, _ *Clock) {
	s.add(t, machine("PC-1"))
	for _, odd := range []string{"\x00", "PC-1\x00", "\xff", "PC-1\xff", "\xed\xa0\x80", "\xc3", "\xf0\x28\x8c\x28", "PC-1\xe2\x82", "\uFFFD", long("x", 100_000)} {
		_, err := s.ByCodigo(t.Context(), odd)
		wantKind(t, fmt.Sprintf("ByCodigo %.20q", odd), err, errs.NotFound)
		_, err = s.Update(t.Context(), odd, keep)
		wantKind(t, fmt.Sprintf("Update %.20q", odd), err, errs.NotFound)
		_, err = s.Delete(t.Context(), odd, accept)
		wantKind(t, fmt.Sprintf("Delete %.20q", odd), err, errs.NotFound)
		for _, f := range []maquinas.Filtro{{Area: odd}, {Buscar: odd}, {Tipo: maquinas.Tipo(odd)}, {Estado: maquinas.Estado(odd)}} {
			got, err := s.Page(t.Context(), maquinas.Query{Filtro: f, Campo: maquinas.PorArea, Limite: 10})
			if err != nil || len(got) != 0 {
				t.Errorf("Page of %.40q: got %d machines, %v", fmt.Sprint(f), len(got), err)
			}
			n, err := s.Count(t.Context(), f)
			if err != nil || n != 0 {
				t.Errorf("Count of %.40q: got %d, %v", fmt.Sprint(f), n, err)
			}
		}
		for _, campo := range []maquinas.Campo{maquinas.PorArea, maquinas.PorTipo, maquinas.PorFecha} {
			if _, err := s.Page(t.Context(), maquinas.Query{Campo: campo, Limite: 10, After: []string{odd, odd}}); err != nil {
				t.Errorf("Page by %s after %.20q: %v", campo, odd, err)
			}
		}
		if _, err := s.Page(t.Context(), maquinas.Query{Campo: maquinas.PorCodigo, Limite: 10, After: []string{odd}}); err != nil {
			t.Errorf("Page after %.20q: %v", odd, err)
		}
	}
}

func (s store) walk(t *testing.T, q maquinas.Query) []maquinas.Maquina {
	t.Helper()
	var list []maquinas.Maquina
	for {
		page, err := s.Page(t.Context(), q)
		must(t, "Page", err)
		if len(page) > q.Limite {
			t.Fatalf("got a page of %d, want at most %d", len(page), q.Limite)
		}
		list = append(list, page...)
		if len(page) < q.Limite || len(list) > 10_000 {
			return list
		}
		last := page[len(page)-1]
		q.After = []string{value(last, q.Campo), clave.Of(last.Codigo)}
		if q.Campo == maquinas.PorCodigo {
			q.After = q.After[1:]
		}
	}
}

func maquinasPages(t *testing.T, s store, _ *Clock) {
	stored := s.fill(t, newRand(t), 60)
	for _, campo := range []maquinas.Campo{maquinas.PorCodigo, maquinas.PorTipo, maquinas.PorEstado, maquinas.PorArea, maquinas.PorFecha} {
		want := slices.Clone(stored)
		slices.SortStableFunc(want, func(a, b maquinas.Maquina) int { return cmp.Compare(value(a, campo), value(b, campo)) })
		for _, desc := range []bool{false, true} {
			if desc {
				slices.Reverse(want)
			}
			for _, limite := range []int{1, 4, 59, 60, 61, maquinas.MaxLimite} {
				q := maquinas.Query{Campo: campo, Desc: desc, Limite: limite}
				equalSlices(t, fmt.Sprintf("by %s, descending %v, %d a page", campo, desc, limite), s.walk(t, q), want)
			}
			// A cursor names a place: the row may have gone since.
			gone := want[29]
			after := []string{value(gone, campo), clave.Of(gone.Codigo)}
			if campo == maquinas.PorCodigo {
				after = after[1:]
			}
			_, err := s.Delete(t.Context(), gone.Codigo, accept)
			must(t, "Delete", err)
			got, err := s.Page(t.Context(), maquinas.Query{Campo: campo, Desc: desc, Limite: 100, After: after})
			must(t, "Page", err)
			equalSlices(t, fmt.Sprintf("by %s after a row that is gone", campo), got, want[30:])
			gone = s.add(t, gone)
			want[29] = gone
			stored[slices.IndexFunc(stored, func(m maquinas.Maquina) bool { return m.Codigo == gone.Codigo })] = gone
		}
	}
}

func maquinasFilters(t *testing.T, s store, _ *Clock) {
	r := newRand(t)
	stored := s.fill(t, r, 80)
	filters := []maquinas.Filtro{
		{}, {Tipo: maquinas.PC}, {Estado: maquinas.EnMantenimiento}, {Area: "Redes"}, {Area: "redes"}, {Area: "REDES"}, {Area: "Ñ"}, {Area: "N"}, {Area: "'"}, {Area: `\`},
		{Area: "%"}, {Area: "Lab"}, {Desde: "2021-02-01"}, {Hasta: "2021-02-01"}, {Desde: "2021-01-10", Hasta: "2021-01-10"}, {Desde: "2022-01-01", Hasta: "2021-01-01"},
		{Area: "' OR 1=1 -- "}, {Buscar: "' or 1=1 -- "},
	}
	for _, part := range []string{"PC", "pc-", "_", "%", ".", ".*", `\`, "'", "ñ", "Ñ-", "N\u0303", "n-", "e", "É", "ß", "SS", "🖥️", "(x)*", "1", "10", "z", "$", "[0-9]"} {
		filters = append(filters, maquinas.Filtro{Buscar: clave.Of(part)})
	}
	for range 40 {
		var f maquinas.Filtro
		if r.IntN(2) == 0 {
			f.Tipo = pick(r, maquinas.Tipos[:]...)
		}
		if r.IntN(2) == 0 {
			f.Estado = pick(r, maquinas.Estados[:]...)
		}
		if r.IntN(4) == 0 {
			f.Area = pick(r, "Redes", "Zoología", "Lab 1")
		}
		if r.IntN(2) == 0 {
			f.Desde = pick[fecha.Fecha](r, "2020-02-11", "2021-01-11")
		}
		if r.IntN(2) == 0 {
			f.Hasta = pick[fecha.Fecha](r, "2021-02-11", "2022-01-11")
		}
		if r.IntN(2) == 0 {
			f.Buscar = pick(r, "-", "1", "p", "ñ", "%")
		}
		filters = append(filters, f)
	}
	for i, f := range filters {
		want := slices.DeleteFunc(slices.Clone(stored), func(m maquinas.Maquina) bool { return !selected(f, m) })
		campo := []maquinas.Campo{maquinas.PorCodigo, maquinas.PorTipo, maquinas.PorEstado, maquinas.PorArea, maquinas.PorFecha}[i%5]
		slices.SortStableFunc(want, func(a, b maquinas.Maquina) int { return cmp.Compare(value(a, campo), value(b, campo)) })
		if i%2 == 1 {
			slices.Reverse(want)
		}
		for _, limite := range []int{3, 1000} {
			q := maquinas.Query{Filtro: f, Campo: campo, Desc: i%2 == 1, Limite: limite}
			equalSlices(t, fmt.Sprintf("%+v", q), s.walk(t, q), want)
		}
		n, err := s.Count(t.Context(), f)
		must(t, "Count", err)
		if n != int64(len(want)) {
			t.Errorf("Count of %+v: got %d, want %d", f, n, len(want))
		}
	}
}

func maquinasResumen(t *testing.T, s store, _ *Clock) {
	r, err := s.Resumen(t.Context())
	must(t, "Resumen", err)
	if r.Total != 0 || len(r.PorEstado) != 0 || len(r.PorTipo) != 0 || len(r.PorArea) != 0 {
		t.Errorf("Resumen of an empty store: got %+v", r)
	}
	want := maquinas.Resumen{PorEstado: map[maquinas.Estado]int64{}, PorTipo: map[maquinas.Tipo]int64{}, PorArea: map[string]int64{}}
	for _, m := range s.fill(t, newRand(t), 70) {
		want.Total++
		want.PorEstado[m.Estado]++
		want.PorTipo[m.Tipo]++
		want.PorArea[m.Area]++
	}
	r, err = s.Resumen(t.Context())
	must(t, "Resumen", err)
	if r.Total != want.Total || !maps.Equal(r.PorEstado, want.PorEstado) || !maps.Equal(r.PorTipo, want.PorTipo) || !maps.Equal(r.PorArea, want.PorArea) {
		t.Errorf("Resumen: got %+v, want %+v", r, want)
	}
}

func maquinasUpdate(t *testing.T, s store, _ *Clock) {
	first, second := s.add(t, machine("PC-1")), s.add(t, machine("PC-2"))
	got, err := s.Update(t.Context(), "pc-1", func(m maquinas.Maquina) (maquinas.Maquina, error) {
		if m != first {
			t.Errorf("change got %+v, want %+v", m, first)
		}
		return maquinas.Maquina{ID: 77, Codigo: "otro", Tipo: maquinas.IMP, Estado: maquinas.FueraDeServicio, Area: "Óptica", Fecha: "2025-12-31", Version: 99}, nil
	})
	must(t, "Update", err)
	want := maquinas.Maquina{ID: first.ID, Codigo: "PC-1", Tipo: maquinas.IMP, Estado: maquinas.FueraDeServicio, Area: "Óptica", Fecha: "2025-12-31", Version: 2}
	if got != want {
		t.Errorf("Update: got %+v, want %+v", got, want)
	}
	equalSlices(t, "after the update", s.list(t), []maquinas.Maquina{want, second})
	// One that changes nothing is a new version too.
	if got, err = s.Update(t.Context(), "PC-1", keep); err != nil || got.Version != 3 {
		t.Errorf("Update that changes nothing: got %+v, %v; want version 3", got, err)
	}
	refusal := errors.New("no")
	if _, err = s.Update(t.Context(), "PC-1", func(m maquinas.Maquina) (maquinas.Maquina, error) { m.Area = "X"; return m, refusal }); err != refusal {
		t.Errorf("Update that change refuses: got %v, want change's own error", err)
	}
	stale := errs.New(errs.Stale, "La máquina cambió.")
	if _, err = s.Update(t.Context(), "PC-1", func(maquinas.Maquina) (maquinas.Maquina, error) { return maquinas.Maquina{}, stale }); err != error(stale) {
		t.Errorf("Update that change refuses: got %v, want change's own error", err)
	}
	want.Version = 3
	equalSlices(t, "after refused updates", s.list(t), []maquinas.Maquina{want, second})
	_, err = s.Update(t.Context(), "PC-3", func(m maquinas.Maquina) (maquinas.Maquina, error) {
		t.Error("change was called for a machine that does not exist")
		return m, nil
	})
	wantKind(t, "Update of an unknown machine", err, errs.NotFound)
}

func maquinasUpdatesAtOnce(t *testing.T, s store, _ *Clock) {
	m := machine("PC-1")
	m.Area = "0"
	s.add(t, m)
	const workers, each = 8, 6
	together(workers, func(int) {
		for range each {
			_, err := s.Update(context.WithoutCancel(t.Context()), "PC-1", func(m maquinas.Maquina) (maquinas.Maquina, error) {
				n, err := strconv.Atoi(m.Area)
				m.Area = strconv.Itoa(n + 1)
				return m, err
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		}
	})
	got, err := s.ByCodigo(t.Context(), "PC-1")
	must(t, "ByCodigo", err)
	if got.Area != strconv.Itoa(workers*each) || got.Version != 1+workers*each {
		t.Errorf("after %d additions of 1: got %s and version %d", workers*each, got.Area, got.Version)
	}
}

func maquinasDelete(t *testing.T, s store, clock *Clock) {
	first, second := s.add(t, machine("PC-1")), s.add(t, machine("PC-2"))
	refusal := errors.New("no")
	if _, err := s.Delete(t.Context(), "PC-1", func(m maquinas.Maquina) error {
		if m != first {
			t.Errorf("check got %+v, want %+v", m, first)
		}
		return refusal
	}); err != refusal {
		t.Errorf("Delete that check refuses: got %v, want check's own error", err)
	}
	if b, err := s.Backlog(t.Context()); err != nil || b.Pending != 0 || !b.Oldest.IsZero() {
		t.Errorf("Backlog after a refused deletion: got %+v, %v", b, err)
	}
	got, err := s.Delete(t.Context(), "pc-1", accept)
	if err != nil || got != first {
		t.Errorf("Delete: got %+v, %v; want %+v", got, err, first)
	}
	equalSlices(t, "after the deletion", s.list(t), []maquinas.Maquina{second})
	_, err = s.Delete(t.Context(), "PC-1", func(maquinas.Maquina) error { t.Error("check was called for a machine that is gone"); return nil })
	wantKind(t, "Delete again", err, errs.NotFound)
	if b, err := s.Backlog(t.Context()); err != nil || b.Pending != 1 || !b.Oldest.Equal(clock.Now()) {
		t.Errorf("Backlog: got %+v, %v; want 1 since %v", b, err, clock.Now())
	}
	// Of several that delete at once one does it.
	var done atomic.Int64
	together(6, func(int) {
		switch _, err := s.Delete(context.WithoutCancel(t.Context()), "PC-2", accept); {
		case err == nil:
			done.Add(1)
		case errs.KindOf(err) != errs.NotFound:
			t.Errorf("Delete: %v", err)
		}
	})
	if done.Load() != 1 {
		t.Errorf("%d calls deleted one machine", done.Load())
	}
}

func maquinasIDs(t *testing.T, s store, _ *Clock) {
	var last int64
	for range 4 {
		m := s.add(t, machine("PC-1"))
		if m.ID <= last {
			t.Errorf("got ID %d after %d", m.ID, last)
		}
		last = m.ID
		_, err := s.Delete(t.Context(), "PC-1", accept)
		must(t, "Delete", err)
	}
}

func maquinasInsertsAtOnce(t *testing.T, s store, _ *Clock) {
	for round := range 4 {
		var done atomic.Int64
		together(8, func(i int) {
			codigo := fmt.Sprintf("pc-%d", round)
			if i%2 == 0 {
				codigo = strings.ToUpper(codigo)
			}
			switch _, fresh, err := s.Insert(context.WithoutCancel(t.Context()), machine(codigo), nil); {
			case err == nil && fresh:
				done.Add(1)
			case errs.KindOf(err) != errs.Conflict:
				t.Errorf("Insert: got %v, %v", fresh, err)
			}
		})
		if done.Load() != 1 || len(s.list(t)) != round+1 {
			t.Errorf("%d calls added one machine; the store holds %d, want %d", done.Load(), len(s.list(t)), round+1)
		}
	}
}

func maquinasBatches(t *testing.T, s store, _ *Clock) {
	must(t, "InsertAll of nothing", s.InsertAll(t.Context(), nil))
	var want []maquinas.Maquina
	for i := range maquinas.MaxBatch {
		m := machine(fmt.Sprintf("Ñ-%04d", i))
		if i%2 == 0 {
			m.Usuario = ""
		}
		want = append(want, m)
	}
	must(t, "InsertAll", s.InsertAll(t.Context(), want))
	got := s.list(t)
	if len(got) != len(want) {
		t.Fatalf("the store holds %d machines, want %d", len(got), len(want))
	}
	ids := map[int64]bool{}
	for i, m := range got { // both are in the codes' order
		want[i].ID, want[i].Version = m.ID, 1
		if m != want[i] || m.ID <= 0 || ids[m.ID] {
			t.Fatalf("machine %d: got %+v, want %+v with an ID of its own", i, m, want[i])
		}
		ids[m.ID] = true
	}
	for name, codes := range map[string][]string{"that exists": {"A-1", "ñ-0007", "A-2"}, "twice": {"B-1", "B-2", "b-1"}} {
		var batch []maquinas.Maquina
		for _, codigo := range codes {
			batch = append(batch, machine(codigo))
		}
		wantKind(t, "InsertAll with a code "+name, s.InsertAll(t.Context(), batch), errs.Conflict)
	}
	if got := s.list(t); len(got) != len(want) {
		t.Errorf("refused batches added %d machines", len(got)-len(want))
	}
}

// maquinasRandom makes random calls and compares each answer with a map's.
func maquinasRandom(t *testing.T, s store, clock *Clock) {
	r := newRand(t)
	codes := []string{"PC-1", "pc-1", "Ñ-2", "ñ-2", "N-2", "Straße", "STRASSE", "x"}
	model := map[string]maquinas.Maquina{}
	var pending int64
	for step := range 250 {
		codigo := pick(r, codes...)
		k := clave.Of(codigo)
		old, there := model[k]
		clock.Advance(time.Second)
		switch r.IntN(5) {
		case 0, 1:
			m := machine(codigo)
			m.Area = pick(r, texts...)
			got, fresh, err := s.Insert(t.Context(), m, nil)
			if there {
				wantKind(t, "Insert", err, errs.Conflict)
				continue
			}
			m.ID, m.Version = got.ID, 1
			if err != nil || !fresh || got != m {
				t.Fatalf("step %d, Insert: got %+v, %v, %v; want %+v", step, got, fresh, err, m)
			}
			model[k] = m
		case 2:
			area := pick(r, texts...)
			got, err := s.Update(t.Context(), codigo, func(m maquinas.Maquina) (maquinas.Maquina, error) {
				m.Area = area
				return m, nil
			})
			if !there {
				wantKind(t, "Update", err, errs.NotFound)
				continue
			}
			old.Area = area
			old.Version++
			if err != nil || got != old {
				t.Fatalf("step %d, Update: got %+v, %v; want %+v", step, got, err, old)
			}
			model[k] = old
		case 3:
			got, err := s.Delete(t.Context(), codigo, accept)
			if !there {
				wantKind(t, "Delete", err, errs.NotFound)
				continue
			}
			if err != nil || got != old {
				t.Fatalf("step %d, Delete: got %+v, %v; want %+v", step, got, err, old)
			}
			delete(model, k)
			pending++
		case 4:
			got, err := s.ByCodigo(t.Context(), codigo)
			if !there {
				wantKind(t, "ByCodigo", err, errs.NotFound)
				continue
			}
			if err != nil || got != old {
				t.Fatalf("step %d, ByCodigo: got %+v, %v; want %+v", step, got, err, old)
			}
		}
	}
	equalSlices(t, "in the end", s.list(t), slices.SortedFunc(maps.Values(model), byKey))
	if b, err := s.Backlog(t.Context()); err != nil || b.Pending != pending {
		t.Errorf("Backlog: got %+v, %v; want %d", b, err, pending)
	}
}

func maquinasKeys(t *testing.T, s store, _ *Clock) {
	key := newKey("uno")
	first, fresh, err := s.Insert(t.Context(), machine("PC-1"), key)
	must(t, "Insert", err)
	if !fresh || first.ID <= 0 || first.Version != 1 {
		t.Errorf("Insert: got %+v, %v", first, fresh)
	}
	again := func(when string) {
		t.Helper()
		got, fresh, err := s.Insert(t.Context(), machine("PC-1"), key)
		if err != nil || fresh || got != first {
			t.Errorf("a retry %s: got %+v, %v, %v; want %+v, false", when, got, fresh, err, first)
		}
	}
	again("at once")
	for _, m := range []maquinas.Maquina{machine("PC-1"), machine("PC-2")} {
		_, _, err = s.Insert(t.Context(), m, sameKey(key, "dos"))
		if err == nil || err.Error() != idempotency.ErrReused().Error() {
			t.Errorf("a key with another body: got %v, want ErrReused", err)
		}
		wantKind(t, "a key with another body", err, errs.Invalid)
	}
	if got := s.list(t); len(got) != 1 || got[0] != first {
		t.Errorf("the store holds %+v, want only %+v", got, first)
	}
	_, err = s.Update(t.Context(), "PC-1", func(m maquinas.Maquina) (maquinas.Maquina, error) { m.Area = "Otra"; return m, nil })
	must(t, "Update", err)
	again("after a change")
	_, err = s.Delete(t.Context(), "PC-1", accept)
	must(t, "Delete", err)
	again("after the deletion")
	if got := s.list(t); len(got) != 0 {
		t.Errorf("a retry added %+v", got)
	}
}

func maquinasKeysConflict(t *testing.T, s store, _ *Clock) {
	s.add(t, machine("PC-1"))
	key := newKey("uno")
	for range 2 {
		_, _, err := s.Insert(t.Context(), machine("pc-1"), key)
		wantKind(t, "Insert of a code that exists", err, errs.Conflict)
	}
	// The key is still free, even for another body.
	if _, fresh, err := s.Insert(t.Context(), machine("PC-2"), sameKey(key, "dos")); err != nil || !fresh {
		t.Errorf("Insert with the key of a refused one: got %v, %v; want true", fresh, err)
	}
	if n, err := s.ForgetKeys(t.Context(), time.Now().Add(time.Hour), 100); err != nil || n != 1 {
		t.Errorf("the store holds %d keys, %v; want 1", n, err)
	}
}

func maquinasKeysExpire(t *testing.T, s store, clock *Clock) {
	key := newKey("uno")
	first, _, err := s.Insert(t.Context(), machine("PC-1"), key)
	must(t, "Insert", err)
	clock.Advance(idempotency.Life - time.Second)
	got, fresh, err := s.Insert(t.Context(), machine("PC-1"), key)
	if err != nil || fresh || got != first {
		t.Errorf("a retry at the end of the key's life: got %+v, %v, %v", got, fresh, err)
	}
	clock.Advance(2 * time.Second)
	_, _, err = s.Insert(t.Context(), machine("PC-1"), key)
	wantKind(t, "Insert of a code that exists with a key that ended", err, errs.Conflict)
	second, fresh, err := s.Insert(t.Context(), machine("PC-2"), sameKey(key, "dos"))
	if err != nil || !fresh {
		t.Errorf("Insert after the key's life: got %v, %v; want true", fresh, err)
	}
	got, fresh, err = s.Insert(t.Context(), machine("PC-2"), sameKey(key, "dos"))
	if err != nil || fresh || got != second {
		t.Errorf("a retry with a renewed key: got %+v, %v, %v; want %+v, false", got, fresh, err, second)
	}
	_, _, err = s.Insert(t.Context(), machine("PC-3"), key)
	wantKind(t, "the renewed key with the body of before", err, errs.Invalid)
}

func maquinasKeysAtOnce(t *testing.T, s store, _ *Clock) {
	for round := range 6 {
		key := newKey("uno")
		m := machine(fmt.Sprint("PC-", round))
		var fresh atomic.Int64
		var ids sync.Map
		together(8, func(int) {
			got, added, err := s.Insert(context.WithoutCancel(t.Context()), m, key)
			if err != nil {
				t.Errorf("Insert: %v", err)
				return
			}
			if added {
				fresh.Add(1)
			}
			ids.Store(got.ID, true)
		})
		n := 0
		ids.Range(func(any, any) bool { n++; return true })
		if fresh.Load() != 1 || n != 1 || len(s.list(t)) != round+1 {
			t.Errorf("retries at the same time added %d, with %d IDs; the store holds %d, want %d", fresh.Load(), n, len(s.list(t)), round+1)
		}
	}
}

func maquinasKeysTwoBodies(t *testing.T, s store, _ *Clock) {
	for round := range 6 {
		key := newKey("0")
		var fresh atomic.Int64
		together(8, func(i int) {
			_, added, err := s.Insert(context.WithoutCancel(t.Context()), machine(fmt.Sprintf("PC-%d-%d", round, i)), sameKey(key, strconv.Itoa(i)))
			switch {
			case err == nil && added:
				fresh.Add(1)
			case errs.KindOf(err) != errs.Invalid:
				t.Errorf("Insert: got %v, %v; want ErrReused", added, err)
			}
		})
		if fresh.Load() != 1 || len(s.list(t)) != round+1 {
			t.Errorf("one key added %d machines; the store holds %d, want %d", fresh.Load(), len(s.list(t)), round+1)
		}
	}
}

func maquinasForgetKeys(t *testing.T, s store, clock *Clock) {
	for i := range 5 {
		_, _, err := s.Insert(t.Context(), machine(fmt.Sprint("PC-", i)), newKey("uno"))
		must(t, "Insert", err)
	}
	clock.Advance(time.Hour)
	limit := clock.Now()
	recent := newKey("uno")
	_, _, err := s.Insert(t.Context(), machine("PC-9"), recent)
	must(t, "Insert", err)
	for _, want := range []int64{3, 2, 0} {
		got, err := s.ForgetKeys(t.Context(), limit, 3)
		must(t, "ForgetKeys", err)
		if got != want {
			t.Errorf("ForgetKeys: got %d, want %d", got, want)
		}
	}
	if _, fresh, err := s.Insert(t.Context(), machine("PC-9"), recent); err != nil || fresh {
		t.Errorf("a newer key was forgotten: got %v, %v", fresh, err)
	}
}

func (s store) claim(t *testing.T, now time.Time, limit int) []maquinas.Deletion {
	t.Helper()
	got, err := s.ClaimDeletions(t.Context(), now, time.Minute, limit)
	must(t, "ClaimDeletions", err)
	return got
}

func maquinasOutbox(t *testing.T, s store, clock *Clock) {
	if got := s.claim(t, clock.Now(), 10); len(got) != 0 {
		t.Errorf("ClaimDeletions of an empty outbox: got %+v", got)
	}
	start := clock.Now()
	var want []maquinas.Deletion
	for i := range 4 {
		m := s.add(t, machine(fmt.Sprint("Ñ-", i)))
		_, err := s.Delete(t.Context(), m.Codigo, accept)
		must(t, "Delete", err)
		want = append(want, maquinas.Deletion{MaquinaID: m.ID, Codigo: m.Codigo, At: clock.Now()})
		clock.Advance(time.Second)
	}
	same := func(what string, got, want []maquinas.Deletion) {
		t.Helper()
		slices.SortFunc(got, func(a, b maquinas.Deletion) int { return cmp.Compare(a.MaquinaID, b.MaquinaID) })
		if !slices.EqualFunc(got, want, func(a, b maquinas.Deletion) bool {
			return a.MaquinaID == b.MaquinaID && a.Codigo == b.Codigo && a.At.Equal(b.At)
		}) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	backlog := func(pending int64, oldest time.Time) {
		t.Helper()
		if b, err := s.Backlog(t.Context()); err != nil || b.Pending != pending || !b.Oldest.Equal(oldest) {
			t.Errorf("Backlog: got %+v, %v; want %d since %v", b, err, pending, oldest)
		}
	}
	backlog(4, start)
	now := clock.Now()
	same("before they are due", s.claim(t, start.Add(-time.Second), 10), nil)
	same("only what is due", s.claim(t, start, 10), want[:1])
	got := append(s.claim(t, now, 2), s.claim(t, now, 2)...)
	same("in two claims", got, want[1:])
	same("within the lease", s.claim(t, now.Add(30*time.Second), 10), nil)
	backlog(4, start)
	later := now.Add(2 * time.Minute)
	same("after the lease", s.claim(t, later, 10), want)

	must(t, "PostponeDeletion", s.PostponeDeletion(t.Context(), want[0].MaquinaID, later.Add(time.Hour), true))
	must(t, "PostponeDeletion", s.PostponeDeletion(t.Context(), want[1].MaquinaID, later.Add(time.Second), false))
	backlog(3, want[1].At)
	same("postponed by a second", s.claim(t, later.Add(time.Second), 10), want[1:2])
	must(t, "FinishDeletion", s.FinishDeletion(t.Context(), want[1].MaquinaID))
	must(t, "FinishDeletion", s.FinishDeletion(t.Context(), want[2].MaquinaID))
	must(t, "FinishDeletion", s.FinishDeletion(t.Context(), want[3].MaquinaID))
	backlog(0, time.Time{})
	same("postponed by an hour", s.claim(t, later.Add(59*time.Minute), 10), nil)
	same("after the hour", s.claim(t, later.Add(time.Hour), 10), want[:1])
	// A sweep that is noted stays noted.
	must(t, "PostponeDeletion", s.PostponeDeletion(t.Context(), want[0].MaquinaID, later, false))
	backlog(0, time.Time{})
	must(t, "FinishDeletion", s.FinishDeletion(t.Context(), want[0].MaquinaID))
	must(t, "FinishDeletion of one that is finished", s.FinishDeletion(t.Context(), want[0].MaquinaID))
	must(t, "PostponeDeletion of one that is finished", s.PostponeDeletion(t.Context(), want[0].MaquinaID, later, true))
	same("in the end", s.claim(t, later.Add(1000*time.Hour), 10), nil)
}

func maquinasOutboxAtOnce(t *testing.T, s store, clock *Clock) {
	const n = 60
	for i := range n {
		m := s.add(t, machine(fmt.Sprint("PC-", i)))
		_, err := s.Delete(t.Context(), m.Codigo, accept)
		must(t, "Delete", err)
	}
	var mu sync.Mutex
	times := map[int64]int{}
	take := func(limit int) int {
		got, err := s.ClaimDeletions(context.WithoutCancel(t.Context()), clock.Now(), time.Minute, limit)
		if err != nil {
			t.Errorf("ClaimDeletions: %v", err)
		}
		if len(got) > limit {
			t.Errorf("ClaimDeletions: got %d, want at most %d", len(got), limit)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, d := range got {
			times[d.MaquinaID]++
		}
		return len(got)
	}
	together(8, func(int) {
		for take(5) > 0 {
		}
	})
	for take(n) > 0 { // what one claimer skipped because another, which rolled back, held it
	}
	for id, k := range times {
		if k != 1 {
			t.Errorf("deletion of %d was handed out %d times within its lease", id, k)
		}
	}
	if len(times) != n {
		t.Errorf("%d deletions were handed out, want %d", len(times), n)
	}
}

func maquinasEnded(t *testing.T, s store, _ *Clock) {
	m := s.add(t, machine("PC-1"))
	ctx := ended(t)
	if _, _, err := s.Insert(ctx, machine("PC-2"), newKey("uno")); err == nil {
		t.Error("Insert with an ended context succeeded")
	}
	if _, err := s.ByCodigo(ctx, "PC-1"); err == nil || errs.KindOf(err) == errs.NotFound {
		t.Errorf("ByCodigo with an ended context: got %v", err)
	}
	if _, err := s.Update(ctx, "PC-1", keep); err == nil || errs.KindOf(err) == errs.NotFound {
		t.Errorf("Update with an ended context: got %v", err)
	}
	// A caller that gives up in the middle leaves everything as it was, and nothing locked.
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Delete(ctx, "PC-1", func(maquinas.Maquina) error { cancel(); return nil }); err == nil {
		t.Error("Delete with a context that ended in the middle succeeded")
	}
	equalSlices(t, "in the end", s.list(t), []maquinas.Maquina{m})
	if _, err := s.Update(t.Context(), "PC-1", keep); err != nil {
		t.Errorf("Update after calls that were given up: %v", err)
	}
}
