package importar

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"siglab/app/errs"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
)

const (
	parallel     = 8   // writes under way at once; the pools hold 10 connections
	historyBatch = 200 // machines whose histories are read at once
)

// loadMachines registers the machines that are not there yet, in batches. One that somebody else registers meanwhile counts as there.
func (p *plan) loadMachines(ctx context.Context, o Options) error {
	bar := o.bar(len(p.machines), "Máquinas      ")
	defer bar.close()
	var work errgroup.Group
	work.SetLimit(parallel)
	for batch := range slices.Chunk(p.machines, maquinas.MaxBatch) {
		work.Go(func() error { return loadBatch(ctx, o.Maquinas, batch, bar) })
	}
	return work.Wait()
}

func loadBatch(ctx context.Context, s *maquinas.Service, batch []newMachine, bar bar) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	values := make([]maquinas.Maquina, len(batch))
	for i, m := range batch {
		values[i] = m.value
	}
	err := s.AddAll(ctx, values)
	if errs.KindOf(err) == errs.Conflict && len(batch) > 1 { // find the one that somebody else has registered
		for one := range slices.Chunk(batch, 1) {
			if err := loadBatch(ctx, s, one, bar); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil && errs.KindOf(err) != errs.Conflict {
		return err
	}
	if err == nil {
		for _, m := range batch {
			m.from.added.Add(1)
		}
	}
	bar.add(len(batch))
	return nil
}

// loadRecords adds the records that are not there yet. A record has no name of its own in a file, so equal ones are counted: a
// machine whose lines hold a record three times and whose history holds it once lacks two.
//
// The lines of one machine are written one after the other, so that what an interrupted import leaves is their beginning, and each with
// an idempotency key, so that a write whose answer was lost, or a second import at the same time, cannot double one.
func (p *plan) loadRecords(ctx context.Context, o Options) error {
	total := 0
	for _, g := range p.records {
		total += len(g.rows)
	}
	if total == 0 {
		return nil
	}
	bar := o.bar(total, "Mantenimientos")
	defer bar.close()
	stored, err := registered(ctx, o.Maquinas.Store)
	if err != nil {
		return err
	}
	var work errgroup.Group
	work.SetLimit(parallel)
	for batch := range slices.Chunk(p.records, historyBatch) {
		ids := make([]int64, 0, len(batch))
		for _, g := range batch {
			if m, ok := stored[g.key]; ok {
				ids = append(ids, m.ID)
			}
		}
		histories, err := o.Mantenimientos.Store.OfMaquinas(ctx, ids)
		if err != nil {
			_ = work.Wait() // the first error is the one to tell
			return err
		}
		for _, g := range batch {
			id := stored[g.key].ID
			work.Go(func() error { return g.load(ctx, o.Mantenimientos, id, histories[id], bar) })
		}
	}
	return work.Wait()
}

// load adds the records that the history of the machine lacks.
func (g group) load(ctx context.Context, s *mantenimientos.Service, id int64, history []mantenimientos.Mantenimiento, bar bar) error {
	there := map[mantenimientos.Mantenimiento]int{}
	for _, m := range history {
		there[content(m)]++
	}
	seen := map[mantenimientos.Mantenimiento]int{}
	for _, r := range g.rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := content(r.value)
		seen[c]++
		if seen[c] > there[c] {
			if _, err := s.Add(ctx, r.input, attempt(id, c, seen[c])); err != nil {
				return err
			}
			r.from.added.Add(1)
		}
		bar.add(1)
	}
	return nil
}

// attempt names the nth record of this content on the machine with this ID.
func attempt(id int64, c mantenimientos.Mantenimiento, n int) *idempotency.Key {
	parts := []string{c.Empresa, c.Tecnico, string(c.Tipo), string(c.Fecha), c.Observaciones, c.Usuario}
	var body []byte
	for _, p := range parts {
		body = append(strconv.AppendQuote(body, p), ',')
	}
	return idempotency.New("importar", strconv.FormatInt(id, 10), strconv.Itoa(n)+","+string(body), body)
}

// content is what a line tells of a record: all but who and where it is.
func content(m mantenimientos.Mantenimiento) mantenimientos.Mantenimiento {
	m.ID, m.MaquinaID, m.CodigoMaquina = "", 0, ""
	return m
}

// bar shows how far the work is, or nothing.
type bar struct{ *progressbar.ProgressBar }

func (o Options) bar(total int, what string) bar {
	var w io.Writer = io.Discard
	if o.Terminal && total > 0 {
		w = o.Err
	}
	return bar{progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetVisibility(w != io.Discard), progressbar.OptionOnCompletion(func() { _, _ = io.WriteString(w, "\n") }))}
}

func (b bar) add(n int) { _ = b.Add(n) }

func (b bar) close() { _ = b.Exit() }

// sortProblems orders problems as the files were named and, in a file, by line.
func sortProblems(problems []Problem, files []string) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)), cmp.Compare(a.Line, b.Line))
	})
}
