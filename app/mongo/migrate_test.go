package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"siglab/app/clave"
	"siglab/app/fecha"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/mongo"
)

// register is what MySQL would know: it resolves codes as the program does.
type register map[string]maquinas.Maquina

func registerOf(list ...maquinas.Maquina) register {
	r := register{}
	for _, m := range list {
		r[clave.Of(m.Codigo)] = m
	}
	return r
}

func (r register) resolve(_ context.Context, codigos []string) (map[string]maquinas.Maquina, error) {
	found := map[string]maquinas.Maquina{}
	for _, c := range codigos {
		if m, ok := r[clave.Of(c)]; ok {
			found[clave.Of(c)] = m
		}
	}
	return found, nil
}

func everything(t *testing.T, s *mongo.Mantenimientos, limite int, asc bool) []mantenimientos.Mantenimiento {
	t.Helper()
	var list []mantenimientos.Mantenimiento
	q := mantenimientos.Query{Limite: limite, Asc: asc}
	for {
		page, err := s.Page(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, page...)
		if len(page) < limite {
			return list
		}
		if len(list) > 10_000 {
			t.Fatal("the pages have no end")
		}
		last := page[len(page)-1]
		q.After = []string{string(last.Fecha), last.ID}
	}
}

func TestMigrateTakesOverOldRecords(t *testing.T) {
	db, raw := open(t, mongo.Hooks{})
	known := registerOf(maquinas.Maquina{ID: 7, Codigo: "PC-001"}, maquinas.Maquina{ID: 8, Codigo: "Ñandú-2"})
	oid := func(n byte) bson.ObjectID { return bson.ObjectID{11: n} }
	old := func(id any, fields ...bson.E) bson.D { return append(bson.D{{Key: "_id", Value: id}}, fields...) }
	f := func(key string, value any) bson.E { return bson.E{Key: key, Value: value} }
	noon := time.Date(2021, 5, 6, 23, 30, 0, 0, time.UTC)
	docs := []any{
		old(oid(1), f("codigo_maquina", "pc-001"), f("empresa", "ACME"), f("tecnico", "Luz"), f("tipo", "Preventivo"), f("fecha", "2020-01-02"), f("observaciones", "x"), f("usuario", "Ana")),
		old(oid(2), f("codigo_maquina", " PC-001 "), f("empresa", "ACME"), f("tecnico", "Luz"), f("fecha", noon), f("observaciones", "sin tipo")),
		old(oid(3), f("codigo_maquina", "n\u0303andu\u0301-2"), f("tipo", "CORRECTIVO "), f("fecha", "2020-01-03T10:00:00"), f("usuario", nil)),
		old(oid(4), f("codigo_maquina", "GONE-9"), f("tipo", "limpieza"), f("fecha", "ayer")),
		old(oid(5), f("codigo_maquina", 12345), f("tipo", nil), f("fecha", nil), f("observaciones", 3.5)),
		old(oid(6), f("tecnico", "nadie")),
		old("alfa", f("codigo_maquina", "PC-001"), f("fecha", "2020-01-02")),
		old("0000000000000000000000aa", f("codigo_maquina", "PC-001"), f("fecha", "2020-01-02"), f("nota", "otro campo")),
		old(int32(77), f("codigo_maquina", "PC-001"), f("fecha", "2020-01-02")),
		old(oid(9), f("maquina_id", int64(8)), f("codigo_maquina", "Ñandú-2"), f("fecha", "2020-01-02"), f("tipo", "preventivo"), f("empresa", "nuevo")),
	}
	if _, err := raw.Collection("mantenimientos").InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	got, err := db.Migrate(t.Context(), known.resolve)
	if err != nil {
		t.Fatal(err)
	}
	if got.Adopted != 6 || got.Orphans != 3 {
		t.Errorf("got %d adopted and %d orphans, want 6 and 3", got.Adopted, got.Orphans)
	}
	if len(got.Left) != 2 || !slices.ContainsFunc(got.Left, func(s string) bool { return strings.Contains(s, "tipo") && strings.Contains(s, oid(4).Hex()) }) ||
		!slices.ContainsFunc(got.Left, func(s string) bool { return strings.Contains(s, "fecha") && strings.Contains(s, oid(4).Hex()) }) {
		t.Errorf("got remarks %q, want one on a tipo and one on a fecha", got.Left)
	}

	s := mongo.NewMantenimientos(db, nil, time.Now)
	want := map[string]mantenimientos.Mantenimiento{}
	for _, m := range []mantenimientos.Mantenimiento{
		{ID: oid(1).Hex(), MaquinaID: 7, CodigoMaquina: "PC-001", Empresa: "ACME", Tecnico: "Luz", Tipo: "preventivo", Fecha: "2020-01-02", Observaciones: "x", Usuario: "Ana"},
		{ID: oid(2).Hex(), MaquinaID: 7, CodigoMaquina: "PC-001", Empresa: "ACME", Tecnico: "Luz", Fecha: "2021-05-06", Observaciones: "sin tipo"},
		{ID: oid(3).Hex(), MaquinaID: 8, CodigoMaquina: "Ñandú-2", Tipo: "correctivo", Fecha: "2020-01-03"},
		{ID: oid(4).Hex(), CodigoMaquina: "GONE-9", Fecha: "ayer"},
		{ID: oid(5).Hex(), CodigoMaquina: "12345", Observaciones: "3.5"},
		{ID: oid(6).Hex(), Tecnico: "nadie"},
		{ID: "alfa", MaquinaID: 7, CodigoMaquina: "PC-001", Fecha: "2020-01-02"},
		{ID: "id-0000000000000000000000aa", MaquinaID: 7, CodigoMaquina: "PC-001", Fecha: "2020-01-02"},
		{ID: "77", MaquinaID: 7, CodigoMaquina: "PC-001", Fecha: "2020-01-02"},
		{ID: oid(9).Hex(), MaquinaID: 8, CodigoMaquina: "Ñandú-2", Empresa: "nuevo", Tipo: "preventivo", Fecha: "2020-01-02"},
	} {
		want[m.ID] = m
	}
	for _, asc := range []bool{false, true} {
		for limite := 1; limite <= len(docs)+1; limite++ {
			list := everything(t, s, limite, asc)
			if len(list) != len(want) {
				t.Errorf("pages of %d, ascending %v: got %d records, want %d", limite, asc, len(list), len(want))
			}
			for _, m := range list {
				if m != want[m.ID] {
					t.Errorf("got %+v, want %+v", m, want[m.ID])
				}
			}
		}
	}
	var doc bson.M
	if err := raw.Collection("mantenimientos").FindOne(t.Context(), bson.D{{Key: "_id", Value: oid(4)}}).Decode(&doc); err != nil || doc["tipo"] != "limpieza" || doc["fecha"] != "ayer" {
		t.Errorf("a record that was not understood became %v, %v", doc, err)
	}
	if err := raw.Collection("mantenimientos").FindOne(t.Context(), bson.D{{Key: "_id", Value: "id-0000000000000000000000aa"}}).Decode(&doc); err != nil || doc["nota"] != "otro campo" {
		t.Errorf("a record with another _id lost a field: %v, %v", doc, err)
	}
	r, err := s.Resumen(t.Context(), "2020-01-03")
	if err != nil || r.Total != 10 || r.PorTipo[""] != 7 || r.PorTipo["preventivo"] != 2 || r.PorDia["correctivo"][fecha.Fecha("2020-01-03")] != 1 {
		t.Errorf("Resumen of old records: got %+v, %v", r, err)
	}

	// The code of an orphan is registered anew: its record stays an orphan, and a second run asks nobody.
	again, err := db.Migrate(t.Context(), func(context.Context, []string) (map[string]maquinas.Maquina, error) {
		t.Error("a second run resolves codes")
		return nil, nil
	})
	if err != nil || again.Adopted+again.Orphans != 0 || len(again.Left) != 0 {
		t.Errorf("a second run did %+v, %v", again, err)
	}
	if of, err := s.OfMaquinas(t.Context(), []int64{7, 8}); err != nil || len(of[7]) != 5 || len(of[8]) != 2 {
		t.Errorf("got %d and %d records of the machines, %v; want 5 and 2", len(of[7]), len(of[8]), err)
	}
	if n, err := s.DeleteOfMaquina(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("DeleteOfMaquina(0) removed %d records, %v", n, err)
	}
}

// A migration that breaks off at any point is completed by the next one.
func TestMigrateResumes(t *testing.T) {
	db, raw := open(t, mongo.Hooks{})
	var docs []any
	const n = 560 // more than a batch
	for i := range n {
		docs = append(docs, bson.D{{Key: "codigo_maquina", Value: fmt.Sprintf("pc-%d", i)}, {Key: "fecha", Value: "2020-01-02"}})
	}
	if _, err := raw.Collection("mantenimientos").InsertMany(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	known := register{}
	for i := range 300 {
		m := maquinas.Maquina{ID: int64(i + 1), Codigo: fmt.Sprintf("PC-%d", i)}
		known[clave.Of(m.Codigo)] = m
	}
	down := errors.New("down")
	calls := 0
	first, err := db.Migrate(t.Context(), func(ctx context.Context, codigos []string) (map[string]maquinas.Maquina, error) {
		if calls++; calls > 1 {
			return nil, down
		}
		return known.resolve(ctx, codigos)
	})
	if !errors.Is(err, down) || first.Adopted+first.Orphans == 0 || first.Adopted+first.Orphans >= n {
		t.Fatalf("a run whose resolver breaks returned %+v, %v", first, err)
	}
	second, err := db.Migrate(t.Context(), known.resolve)
	if err != nil || first.Adopted+second.Adopted != 300 || first.Orphans+second.Orphans != 260 {
		t.Errorf("two runs did %+v and %+v, %v; want 300 adopted and 260 orphans", first, second, err)
	}
	s := mongo.NewMantenimientos(db, nil, time.Now)
	if total, err := s.Count(t.Context(), mantenimientos.Filtro{}); total != n || err != nil {
		t.Errorf("got %d records, %v; want %d", total, err, n)
	}
	if of, err := s.OfMaquinas(t.Context(), []int64{1}); err != nil || len(of[1]) != 1 || of[1][0].CodigoMaquina != "PC-0" {
		t.Errorf("machine 1 has %+v, %v; want 1 record of PC-0", of[1], err)
	}
}

// A run that wrote the new document and died before it removed the old one.
func TestMigrateFinishesAMove(t *testing.T) {
	db, raw := open(t, mongo.Hooks{})
	c := raw.Collection("mantenimientos")
	const one, two = "0000000000000000000000aa", "0000000000000000000000bb"
	if _, err := c.InsertMany(t.Context(), []any{
		bson.D{{Key: "_id", Value: one}, {Key: "codigo_maquina", Value: "pc-1"}, {Key: "fecha", Value: "2020-01-02"}},
		bson.D{{Key: "_id", Value: "id-" + one}, {Key: "codigo_maquina", Value: "PC-1"}, {Key: "fecha", Value: "2020-01-02"}, {Key: "maquina_id", Value: int64(1)}},
		bson.D{{Key: "_id", Value: two}, {Key: "codigo_maquina", Value: "pc-1"}, {Key: "fecha", Value: "2020-01-02"}},
		bson.D{{Key: "_id", Value: "id-" + two}, {Key: "codigo_maquina", Value: "pc-1"}, {Key: "fecha", Value: "2020-01-03"}},
	}); err != nil {
		t.Fatal(err)
	}
	known := registerOf(maquinas.Maquina{ID: 1, Codigo: "PC-1"})
	got, err := db.Migrate(t.Context(), known.resolve)
	if err != nil {
		t.Fatal(err)
	}
	n, err := c.CountDocuments(t.Context(), bson.D{{Key: "maquina_id", Value: int64(1)}})
	if err != nil || n != 3 {
		t.Errorf("got %d records, %v; want 3: one finished move, two that differ", n, err)
	}
	if len(got.Left) != 1 || !strings.Contains(got.Left[0], "_id") {
		t.Errorf("got remarks %q, want one on an _id", got.Left)
	}
}
