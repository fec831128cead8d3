package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
)

// Mantenimientos checks a mantenimientos.Store. open returns a new and empty one each time, which takes its time from now and is
// gone when the test ends.
func Mantenimientos(t *testing.T, open func(t *testing.T, now func() time.Time) mantenimientos.Store) {
	for name, test := range map[string]func(*testing.T, mantenimientos.Store, *Clock){
		"round trip":            mantenimientosRoundTrip,
		"order and pages":       mantenimientosPages,
		"filters":               mantenimientosFilters,
		"of machines":           mantenimientosOfMaquinas,
		"delete of a machine":   mantenimientosDelete,
		"summary":               mantenimientosResumen,
		"keys":                  mantenimientosKeys,
		"keys expire":           mantenimientosKeysExpire,
		"keys at the same time": mantenimientosKeysAtOnce,
		"keys are forgotten":    mantenimientosForgetKeys,
		"inserts at once":       mantenimientosAtOnce,
		"ended context":         mantenimientosEnded,
	} {
		t.Run(name, func(t *testing.T) {
			clock := NewClock()
			test(t, open(t, clock.Now), clock)
		})
	}
}

func sample(i int) mantenimientos.Mantenimiento {
	return mantenimientos.Mantenimiento{
		MaquinaID: int64(i%3 + 1), CodigoMaquina: fmt.Sprintf("PC-%03d", i%3+1), Empresa: "ACME", Tecnico: "Luz", Tipo: mantenimientos.Preventivo,
		Fecha: fecha.Fecha(fmt.Sprintf("2024-03-%02d", i%28+1)), Observaciones: "limpieza", Usuario: "Ana",
	}
}

func all(t *testing.T, s mantenimientos.Store) []mantenimientos.Mantenimiento {
	t.Helper()
	list, err := s.Page(t.Context(), mantenimientos.Query{Limite: 10_000})
	must(t, "Page", err)
	return list
}

// fill adds n random records and returns them, newest first.
func fill(t *testing.T, s mantenimientos.Store, n int) []mantenimientos.Mantenimiento {
	t.Helper()
	r := newRand(t)
	codes := []string{"PC-001", "pc-0012", "IMP.*7", "Ñandú_1", "IMP%7", `a'b\c`, "STRASSE-1"}
	var list []mantenimientos.Mantenimiento
	for range n {
		i := r.IntN(len(codes))
		m := mantenimientos.Mantenimiento{
			MaquinaID: int64(i + 1), CodigoMaquina: codes[i], Empresa: pick(r, texts...), Tecnico: pick(r, texts...),
			Tipo:          pick(r, mantenimientos.Preventivo, mantenimientos.Correctivo, ""),
			Fecha:         fecha.Fecha(fmt.Sprintf("20%02d-%02d-%02d", 20+r.IntN(3), 1+r.IntN(3), 1+r.IntN(4))),
			Observaciones: pick(r, texts...), Usuario: pick(r, "", "Ana", "Óscar Núñez"),
		}
		added, err := s.Insert(t.Context(), m, nil)
		must(t, "Insert", err)
		m.ID = added.ID
		list = append(list, m)
	}
	slices.SortFunc(list, newestFirst)
	return list
}

func newestFirst(a, b mantenimientos.Mantenimiento) int {
	return -cmp.Or(cmp.Compare(a.Fecha, b.Fecha), cmp.Compare(a.ID, b.ID))
}

func mantenimientosRoundTrip(t *testing.T, s mantenimientos.Store, _ *Clock) {
	if got := all(t, s); len(got) != 0 {
		t.Fatalf("a new store holds %d records", len(got))
	}
	digits := regexp.MustCompile(`^[0-9a-f]{24}$`)
	want := map[string]mantenimientos.Mantenimiento{}
	add := func(m mantenimientos.Mantenimiento) {
		t.Helper()
		got, err := s.Insert(t.Context(), m, nil)
		must(t, "Insert", err)
		if !digits.MatchString(got.ID) {
			t.Errorf("got ID %q, want 24 hexadecimal digits", got.ID)
		}
		m.ID = got.ID
		if got != m {
			t.Errorf("Insert returned %+v, want %+v", got, m)
		}
		if _, twice := want[m.ID]; twice {
			t.Errorf("ID %s was given twice", m.ID)
		}
		want[m.ID] = m
	}
	for i, text := range texts {
		m := sample(i)
		m.Empresa, m.Tecnico, m.Observaciones, m.Usuario = text, text, text+"\n\t"+text, text
		add(m)
	}
	m := sample(1)
	m.MaquinaID = 1<<53 + 1 // beyond what a double holds
	m.CodigoMaquina = long("ﷺ", 50)
	m.Empresa, m.Tecnico, m.Usuario = long("𝔘", mantenimientos.MaxNombre), long("ñ", mantenimientos.MaxNombre), long("日", mantenimientos.MaxNombre)
	m.Observaciones = long("🖨", mantenimientos.MaxObservaciones)
	m.Fecha = "9999-12-31"
	add(m)
	m = sample(2)
	m.Tipo, m.Usuario, m.Fecha = "", "", "1000-01-01"
	add(m)
	m = sample(2)
	m.Tipo = mantenimientos.Correctivo
	add(m)
	got := map[string]mantenimientos.Mantenimiento{}
	for _, m := range all(t, s) {
		got[m.ID] = m
	}
	if !maps.Equal(got, want) {
		for id := range want {
			if got[id] != want[id] {
				t.Errorf("stored %+v, want %+v", got[id], want[id])
			}
		}
		t.Errorf("got %d records, want %d", len(got), len(want))
	}
}

// walk collects every page of a query.
func walk(t *testing.T, s mantenimientos.Store, q mantenimientos.Query) []mantenimientos.Mantenimiento {
	t.Helper()
	var list []mantenimientos.Mantenimiento
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
		q.After = []string{string(last.Fecha), last.ID}
	}
}

func mantenimientosPages(t *testing.T, s mantenimientos.Store, _ *Clock) {
	want := fill(t, s, 40)
	for _, limite := range []int{1, 3, 7, 39, 40, 41, 1000} {
		equalSlices(t, fmt.Sprintf("newest first, %d a page", limite), walk(t, s, mantenimientos.Query{Limite: limite}), want)
	}
	slices.Reverse(want)
	for _, limite := range []int{1, 6, 40, 1000} {
		equalSlices(t, fmt.Sprintf("oldest first, %d a page", limite), walk(t, s, mantenimientos.Query{Asc: true, Limite: limite}), want)
	}
	// A cursor names a place, not a row: the row may be gone, or never have been.
	for _, after := range [][]string{
		{"2021-02-02", "000000000000000000000000"}, {"2021-02-02", "ffffffffffffffffffffffff"}, {"9999-12-31", "zzz"}, {"", ""}, {"x", "x"}, {"2021-02-03", ""},
	} {
		if _, err := s.Page(t.Context(), mantenimientos.Query{Limite: 5, After: after}); err != nil {
			t.Errorf("Page after %q: %v", after, err)
		}
	}
	got, err := s.Page(t.Context(), mantenimientos.Query{Asc: true, Limite: 100, After: []string{"2021-02-02", "ffffffffffffffffffffffff"}})
	must(t, "Page", err)
	want = slices.DeleteFunc(want, func(m mantenimientos.Mantenimiento) bool { return m.Fecha <= "2021-02-02" })
	equalSlices(t, "after a place without a row", got, want)
}

func mantenimientosFilters(t *testing.T, s mantenimientos.Store, _ *Clock) {
	stored := fill(t, s, 60)
	filters := []mantenimientos.Filtro{
		{}, {MaquinaID: 2}, {MaquinaID: 99}, {Tipo: mantenimientos.Preventivo}, {Tipo: mantenimientos.Correctivo},
		{Desde: "2021-01-01"}, {Hasta: "2021-01-01"}, {Desde: "2021-01-02", Hasta: "2021-01-02"}, {Desde: "2022-01-01", Hasta: "2020-01-01"},
		{MaquinaID: 1, Tipo: mantenimientos.Correctivo, Desde: "2020-02-01", Hasta: "2021-12-31"},
		{MaquinaID: 3, Buscar: "pc"},
	}
	for _, part := range []string{"PC-001", "pc", "12", ".*", "%", "_", `\`, "'", "ñ", "n", "NANDU", "Straße", "strasse", "Ñ", "N\u0303", "^", "$", "[", "(", "?", "*", "+", "7", "x"} {
		filters = append(filters, mantenimientos.Filtro{Buscar: clave.Of(part)}, mantenimientos.Filtro{Buscar: clave.Of(part), Tipo: mantenimientos.Preventivo})
	}
	for _, f := range filters {
		var want []mantenimientos.Mantenimiento
		for _, m := range stored {
			if (f.MaquinaID == 0 || f.MaquinaID == m.MaquinaID) && (f.Tipo == "" || f.Tipo == m.Tipo) &&
				(f.Desde == "" || m.Fecha >= f.Desde) && (f.Hasta == "" || m.Fecha <= f.Hasta) &&
				strings.Contains(clave.Of(m.CodigoMaquina), f.Buscar) {
				want = append(want, m)
			}
		}
		got, err := s.Page(t.Context(), mantenimientos.Query{Filtro: f, Limite: 1000})
		must(t, "Page", err)
		equalSlices(t, fmt.Sprintf("%+v", f), got, want)
		n, err := s.Count(t.Context(), f)
		must(t, "Count", err)
		if n != int64(len(want)) {
			t.Errorf("Count of %+v: got %d, want %d", f, n, len(want))
		}
	}
	f := mantenimientos.Filtro{Buscar: clave.Of("P"), Desde: "2020-02-01"}
	got := walk(t, s, mantenimientos.Query{Filtro: f, Limite: 2})
	want, err := s.Page(t.Context(), mantenimientos.Query{Filtro: f, Limite: 1000})
	must(t, "Page", err)
	equalSlices(t, "a filter in pages", got, want)
}

func mantenimientosOfMaquinas(t *testing.T, s mantenimientos.Store, _ *Clock) {
	stored := fill(t, s, 50)
	want := map[int64][]mantenimientos.Mantenimiento{}
	for _, m := range stored {
		want[m.MaquinaID] = append(want[m.MaquinaID], m)
	}
	many := []int64{1, 2, 3, 4, 5, 6, 7}
	for i := range int64(1500) {
		many = append(many, 1000+i)
	}
	for _, ids := range [][]int64{nil, {1}, {2, 5}, {99}, many} {
		got, err := s.OfMaquinas(t.Context(), ids)
		must(t, "OfMaquinas", err)
		total := 0
		for _, id := range ids {
			equalSlices(t, fmt.Sprintf("machine %d of %d", id, len(ids)), got[id], want[id])
			total += len(want[id])
		}
		for _, list := range got {
			total -= len(list)
		}
		if total != 0 {
			t.Errorf("OfMaquinas(%d machines) returned records of machines that were not asked for", len(ids))
		}
	}
}

func mantenimientosDelete(t *testing.T, s mantenimientos.Store, _ *Clock) {
	stored := fill(t, s, 50)
	mine := func(m mantenimientos.Mantenimiento) bool { return m.MaquinaID == 2 }
	var want int64
	for _, m := range stored {
		if mine(m) {
			want++
		}
	}
	got, err := s.DeleteOfMaquina(t.Context(), 2)
	must(t, "DeleteOfMaquina", err)
	if got != want {
		t.Errorf("DeleteOfMaquina: got %d, want %d", got, want)
	}
	for _, id := range []int64{2, 99} {
		got, err = s.DeleteOfMaquina(t.Context(), id)
		must(t, "DeleteOfMaquina", err)
		if got != 0 {
			t.Errorf("DeleteOfMaquina of a machine without records: got %d, want 0", got)
		}
	}
	equalSlices(t, "what is left", all(t, s), slices.DeleteFunc(stored, mine))
}

func mantenimientosResumen(t *testing.T, s mantenimientos.Store, _ *Clock) {
	r, err := s.Resumen(t.Context(), "2020-01-01")
	must(t, "Resumen", err)
	if r.Total != 0 || len(r.Ultimos) != 0 || len(r.PorTipo) != 0 {
		t.Errorf("Resumen of an empty store: got %+v", r)
	}
	for m := range slices.Values([]int{0, 1, 2}) {
		_, err := s.Insert(t.Context(), sample(m), nil)
		must(t, "Insert", err)
	}
	if r, err = s.Resumen(t.Context(), "2020-01-01"); err != nil || r.Total != 3 || len(r.Ultimos) != 3 {
		t.Errorf("Resumen of three records: got %+v, %v", r, err)
	}
	fill(t, s, 60)
	stored := all(t, s)
	for _, since := range []fecha.Fecha{"1000-01-01", "2021-02-02", "2021-03-01", "2024-03-02", "2030-01-01"} {
		r, err := s.Resumen(t.Context(), since)
		must(t, "Resumen", err)
		porTipo := map[mantenimientos.Tipo]int64{}
		porDia := map[string]int64{}
		for _, m := range stored {
			porTipo[m.Tipo]++
			if m.Tipo != "" && m.Fecha >= since {
				porDia[string(m.Tipo)+" "+string(m.Fecha)]++
			}
		}
		gotDia := map[string]int64{}
		for tipo, days := range r.PorDia {
			for day, n := range days {
				if tipo != "" {
					gotDia[string(tipo)+" "+string(day)] = n
				}
			}
		}
		if r.Total != int64(len(stored)) || !maps.Equal(r.PorTipo, porTipo) || !maps.Equal(gotDia, porDia) {
			t.Errorf("Resumen since %s: got %+v, want total %d, %v, %v", since, r, len(stored), porTipo, porDia)
		}
		equalSlices(t, "the newest", r.Ultimos, stored[:10])
	}
}

func mantenimientosKeys(t *testing.T, s mantenimientos.Store, _ *Clock) {
	key := newKey("uno")
	first, err := s.Insert(t.Context(), sample(1), key)
	must(t, "Insert", err)
	for range 3 {
		again, err := s.Insert(t.Context(), sample(1), key)
		must(t, "Insert again", err)
		if again != first {
			t.Errorf("a retry returned %+v, want %+v", again, first)
		}
	}
	_, err = s.Insert(t.Context(), sample(2), sameKey(key, "dos"))
	wantKind(t, "a key with another body", err, errs.Invalid)
	if err != nil && err.Error() != idempotency.ErrReused().Error() {
		t.Errorf("a key with another body: got %v, want ErrReused", err)
	}
	if got := all(t, s); len(got) != 1 || got[0] != first {
		t.Errorf("the store holds %+v, want only %+v", got, first)
	}
	second, err := s.Insert(t.Context(), sample(1), newKey("uno"))
	must(t, "Insert with another key", err)
	if second.ID == first.ID {
		t.Errorf("another key got the first one's record")
	}
	// The machine may be gone when the retry comes: the answer is the same and nothing is added.
	_, err = s.DeleteOfMaquina(t.Context(), first.MaquinaID)
	must(t, "DeleteOfMaquina", err)
	again, err := s.Insert(t.Context(), sample(1), key)
	must(t, "Insert after the removal", err)
	if again != first {
		t.Errorf("a retry after the removal returned %+v, want %+v", again, first)
	}
}

func mantenimientosKeysExpire(t *testing.T, s mantenimientos.Store, clock *Clock) {
	key := newKey("uno")
	first, err := s.Insert(t.Context(), sample(1), key)
	must(t, "Insert", err)
	clock.Advance(idempotency.Life - time.Second)
	again, err := s.Insert(t.Context(), sample(1), key)
	must(t, "Insert", err)
	if again.ID != first.ID {
		t.Errorf("a key was forgotten before its life ended")
	}
	clock.Advance(2 * time.Second)
	next, err := s.Insert(t.Context(), sample(2), sameKey(key, "dos"))
	must(t, "Insert after the key's life", err)
	if next.ID == first.ID {
		t.Errorf("a key was remembered after its life ended")
	}
	again, err = s.Insert(t.Context(), sample(2), sameKey(key, "dos"))
	must(t, "Insert", err)
	if again != next {
		t.Errorf("a retry with a renewed key: got %+v, want %+v", again, next)
	}
	if got := all(t, s); len(got) != 2 {
		t.Errorf("the store holds %d records, want 2", len(got))
	}
}

func mantenimientosKeysAtOnce(t *testing.T, s mantenimientos.Store, _ *Clock) {
	for round := range 5 {
		key := newKey("uno")
		m := sample(round)
		m.Observaciones = fmt.Sprint("ronda ", round)
		var mu sync.Mutex
		ids := map[string]bool{}
		together(8, func(int) {
			got, err := s.Insert(context.WithoutCancel(t.Context()), m, key)
			if err != nil {
				t.Errorf("Insert: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[got.ID] = true
		})
		if len(ids) != 1 {
			t.Errorf("retries at the same time got %d records, want 1", len(ids))
		}
		if got := all(t, s); len(got) != round+1 {
			t.Fatalf("the store holds %d records, want %d", len(got), round+1)
		}
	}
}

func mantenimientosForgetKeys(t *testing.T, s mantenimientos.Store, clock *Clock) {
	old, recent := newKey("uno"), newKey("uno")
	first, err := s.Insert(t.Context(), sample(1), old)
	must(t, "Insert", err)
	clock.Advance(time.Hour)
	limit := clock.Now()
	second, err := s.Insert(t.Context(), sample(1), recent)
	must(t, "Insert", err)
	must(t, "ForgetKeys", s.ForgetKeys(t.Context(), limit))
	must(t, "ForgetKeys again", s.ForgetKeys(t.Context(), limit))
	again, err := s.Insert(t.Context(), sample(1), recent)
	must(t, "Insert", err)
	if again.ID != second.ID {
		t.Errorf("ForgetKeys removed a key that is newer")
	}
	again, err = s.Insert(t.Context(), sample(2), sameKey(old, "dos"))
	must(t, "Insert with a forgotten key", err)
	if again.ID == first.ID {
		t.Errorf("ForgetKeys left a key that is older")
	}
}

func mantenimientosAtOnce(t *testing.T, s mantenimientos.Store, _ *Clock) {
	const workers, each = 8, 8
	together(workers, func(w int) {
		for i := range each {
			if _, err := s.Insert(context.WithoutCancel(t.Context()), sample(w*each+i), nil); err != nil {
				t.Errorf("Insert: %v", err)
			}
		}
	})
	ids := map[string]bool{}
	for _, m := range all(t, s) {
		ids[m.ID] = true
	}
	if len(ids) != workers*each {
		t.Errorf("got %d records, want %d", len(ids), workers*each)
	}
}

func mantenimientosEnded(t *testing.T, s mantenimientos.Store, _ *Clock) {
	if _, err := s.Insert(ended(t), sample(1), nil); err == nil {
		t.Error("Insert with an ended context succeeded")
	}
	if _, err := s.Page(ended(t), mantenimientos.Query{Limite: 1}); err == nil {
		t.Error("Page with an ended context succeeded")
	}
	if got := all(t, s); len(got) != 0 {
		t.Errorf("the store holds %d records, want none", len(got))
	}
}
