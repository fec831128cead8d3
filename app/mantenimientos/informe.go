package mantenimientos

import (
	"context"
	"iter"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/maquinas"
	"siglab/app/texto"
)

// The informe is read in batches of machines: the first is small, so that its first rows come at once, and the last bound the
// memory that a report of any size takes.
const (
	firstBatch = 16
	maxBatch   = 500
)

// FilaInforme is one machine in the report. Known is false when the records' store did not answer when the report began: then
// nothing is said of records in any of its rows.
type FilaInforme struct {
	maquinas.Maquina
	Mantenimientos []Mantenimiento // newest first
	Known          bool
}

// Informe yields the machines whose code contains parte, by code, each with all its records. An error ends it; one that comes after the
// first row means that the report is not whole.
func (s *Service) Informe(ctx context.Context, parte string) iter.Seq2[FilaInforme, error] {
	return func(yield func(FilaInforme, error) bool) {
		q := maquinas.Query{Campo: maquinas.PorCodigo, Limite: firstBatch}
		q.Buscar = clave.Of(texto.Clean(parte))
		known := true
		for {
			items, err := s.Maquinas.Page(ctx, q)
			if err != nil {
				yield(FilaInforme{}, err)
				return
			}
			ids := make([]int64, len(items))
			for i, m := range items {
				ids[i] = m.ID
			}
			var records map[int64][]Mantenimiento
			if known && len(ids) > 0 {
				records, err = s.Store.OfMaquinas(ctx, ids)
				if first := q.After == nil; err != nil && first && errs.KindOf(err) == errs.Unavailable {
					known = false
				} else if err != nil {
					yield(FilaInforme{}, err)
					return
				}
			}
			for _, m := range items {
				if !yield(FilaInforme{Maquina: m, Mantenimientos: records[m.ID], Known: known}, nil) {
					return
				}
			}
			if len(items) < q.Limite {
				return
			}
			q.After = []string{clave.Of(items[len(items)-1].Codigo)}
			q.Limite = min(q.Limite*4, maxBatch)
		}
	}
}
