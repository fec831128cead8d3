// Package importar loads an inventory and its maintenance records from CSV files, through the services that the API uses. A
// file is checked as a whole before anything is written, and importing it again adds only what is not there yet.
package importar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
)

// Options is one import.
type Options struct {
	Files          []string // paths of CSV files; the header line of each tells what it holds
	Maquinas       *maquinas.Service
	Mantenimientos *mantenimientos.Service

	Out      io.Writer // the summary, in Spanish
	Err      io.Writer // bad lines, remarks and the progress bar
	Terminal bool      // Err is a terminal, so it gets a progress bar
}

// Rejected says that lines broke rules and that nothing was written.
type Rejected struct{ Problems []Problem }

// Error says in Spanish how many faults there are; the lines were named on Options.Err.
func (r *Rejected) Error() string {
	if len(r.Problems) == 1 {
		return "no se importó nada: hay 1 error"
	}
	return fmt.Sprintf("no se importó nada: hay %d errores", len(r.Problems))
}

// Run imports the files: machines first, whatever the order of the files. Its error is Spanish, and a *Rejected when
// the files were refused. After any other error the same call, made again, completes the import and doubles nothing.
func Run(ctx context.Context, o Options) error {
	p, err := check(ctx, o)
	if err != nil {
		return err
	}
	for _, remark := range p.remarks {
		fmt.Fprintln(o.Err, remark)
	}
	if err := p.loadMachines(ctx, o); err != nil {
		return interrupted(err)
	}
	if err := p.loadRecords(ctx, o); err != nil {
		return interrupted(err)
	}
	for _, f := range p.files {
		fmt.Fprintln(o.Out, f.summary())
	}
	return nil
}

// interrupted tells why an import that had begun did not end.
func interrupted(err error) error {
	return fmt.Errorf("la importación quedó incompleta: %s; repita la misma orden para completarla", reason(err))
}

// reason returns an error as a part of a Spanish sentence. Whoever runs an import may read the cause.
func reason(err error) string {
	if errors.Is(err, context.Canceled) {
		return "se interrumpió la orden"
	}
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Cause != nil {
		return strings.TrimSuffix(e.Message, ".") + " (" + e.Cause.Error() + ")"
	}
	return strings.TrimSuffix(err.Error(), ".")
}

// file is what is known of one file, for its summary.
type file struct {
	path  string
	kind  *kind
	lines []line
	added atomic.Int64
}

// summary counts every line once an import has ended well: what was not added was there.
func (f *file) summary() string {
	added := f.added.Load()
	what := "mantenimientos nuevos"
	if f.kind == inventory {
		what = "máquinas nuevas"
	}
	return fmt.Sprintf("%s: %d %s, %d ya estaban.", f.path, added, what, int64(len(f.lines))-added)
}

// plan is an import that has passed all checks.
type plan struct {
	files    []*file
	machines []newMachine
	records  []group
	remarks  []string
}

// newMachine is a machine that is not registered yet.
type newMachine struct {
	from  *file
	value maquinas.Maquina
}

// group is the records of one machine, in the order of their lines.
type group struct {
	key  string // clave.Of of the machine's code
	rows []row
}

type row struct {
	from  *file
	input mantenimientos.Entrada
	value mantenimientos.Mantenimiento
}

// check reads all files and holds each line against the rules and against what is stored. It prints what it finds wrong.
func check(ctx context.Context, o Options) (*plan, error) {
	var problems []Problem
	p := &plan{}
	for _, path := range o.Files {
		k, lines, bad, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("no se importó nada: %w", err)
		}
		problems = append(problems, bad...)
		if k != nil {
			p.files = append(p.files, &file{path: path, kind: k, lines: lines})
		}
	}
	stored, err := registered(ctx, o.Maquinas.Store)
	if err != nil {
		return nil, fmt.Errorf("no se importó nada: %s", reason(err))
	}
	known, bad := p.checkMachines(stored)
	problems = append(problems, bad...)
	problems = append(problems, p.checkRecords(known)...)
	if len(problems) == 0 {
		return p, nil
	}
	sortProblems(problems, o.Files)
	for _, problem := range problems {
		fmt.Fprintln(o.Err, problem)
	}
	return nil, &Rejected{problems}
}

// registered returns all machines by the key of their code.
func registered(ctx context.Context, store maquinas.Store) (map[string]maquinas.Maquina, error) {
	all := map[string]maquinas.Maquina{}
	q := maquinas.Query{Campo: maquinas.PorCodigo, Limite: maquinas.MaxLimite}
	for {
		page, err := store.Page(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			k := clave.Of(m.Codigo)
			all[k] = m
			q.After = []string{k}
		}
		if len(page) < q.Limite {
			return all, nil
		}
	}
}

// checkMachines fills p.machines and returns the keys of all codes that there are or will be.
func (p *plan) checkMachines(stored map[string]maquinas.Maquina) (known map[string]bool, problems []Problem) {
	known = make(map[string]bool, len(stored))
	for k := range stored {
		known[k] = true
	}
	first := map[string]line{}
	for _, f := range p.files {
		if f.kind != inventory {
			continue
		}
		for _, l := range f.lines {
			in := maquinas.Entrada{Codigo: l.fields[0], Tipo: l.fields[1], Estado: l.fields[2], Area: l.fields[3],
				Fecha: l.fields[4], Usuario: l.fields[5]}
			m, err := maquinas.New(in)
			k := clave.Of(m.Codigo)
			known[k] = true // a record of a machine whose line is bad is not itself bad
			problems = append(problems, broken(l, err)...)
			if before, ok := first[k]; ok && m.Codigo != "" {
				problems = append(problems, Problem{l.file, l.number, fmt.Sprintf("El código %s ya está en %s.", m.Codigo, l.relative(before))})
				continue
			}
			first[k] = l
			if err != nil {
				continue
			}
			old, ok := stored[k]
			if !ok {
				p.machines = append(p.machines, newMachine{f, m})
				continue
			}
			if diff := differences(old, m); diff != "" {
				p.remarks = append(p.remarks, Problem{l.file, l.number,
					fmt.Sprintf("La máquina %s ya estaba con otros datos (%s); no se cambió.", old.Codigo, diff)}.String())
			}
		}
	}
	return known, problems
}

// relative names another line as seen from l.
func (l line) relative(other line) string {
	if other.file == l.file {
		return fmt.Sprintf("la línea %d", other.number)
	}
	return fmt.Sprintf("la línea %d de %s", other.number, other.file)
}

// differences names the fields in which a stored machine differs from a line. An empty usuario says nothing.
func differences(stored, m maquinas.Maquina) string {
	var names []string
	if stored.Tipo != m.Tipo {
		names = append(names, "tipo_equipo")
	}
	if stored.Estado != m.Estado {
		names = append(names, "estado_actual")
	}
	if stored.Area != m.Area {
		names = append(names, "area")
	}
	if stored.Fecha != m.Fecha {
		names = append(names, "fecha")
	}
	if m.Usuario != "" && stored.Usuario != m.Usuario {
		names = append(names, "usuario")
	}
	return strings.Join(names, ", ")
}

// checkRecords fills p.records.
func (p *plan) checkRecords(known map[string]bool) (problems []Problem) {
	at := map[string]int{}
	for _, f := range p.files {
		if f.kind != records {
			continue
		}
		for _, l := range f.lines {
			in := mantenimientos.Entrada{CodigoMaquina: l.fields[0], Empresa: l.fields[1], Tecnico: l.fields[2], Tipo: l.fields[3],
				Fecha: l.fields[4], Observaciones: l.fields[5], Usuario: l.fields[6]}
			m, err := mantenimientos.New(in)
			problems = append(problems, broken(l, err)...)
			k := clave.Of(m.CodigoMaquina)
			if m.CodigoMaquina != "" && !known[k] {
				problems = append(problems, Problem{l.file, l.number, fmt.Sprintf("No existe una máquina con el código %s.", m.CodigoMaquina)})
			}
			if err != nil {
				continue
			}
			i, ok := at[k]
			if !ok {
				i = len(p.records)
				at[k] = i
				p.records = append(p.records, group{key: k})
			}
			p.records[i].rows = append(p.records[i].rows, row{f, in, m})
		}
	}
	return problems
}

// broken makes a problem of each field that breaks a rule.
func broken(l line, err error) (problems []Problem) {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		for _, f := range e.Fields {
			problems = append(problems, Problem{l.file, l.number, f.Message})
		}
	}
	return problems
}
