package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// recordsEach is how many records every machine of a report has.
const recordsEach = 10

// informe reads reports of growing size, each to its end. They come from SQLite, the one store of records here that has an index on the
// machine: FerretDB, which stands in for MongoDB, reads every record for each batch.
func informe(w *world) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "machines\trecords\tMB\tfirst byte ms\twhole ms\tshare\tus a row\tresident MB at the most\t")
	type sample struct{ first, whole time.Duration }
	var perRow []float64
	var share, resident float64
	for _, size := range []int{w.reported / 4, w.reported / 2, w.reported} {
		dir := filepath.Join(w.dir, fmt.Sprintf("informe%d", size))
		env := append(w.secrets(), "DATA_DIR="+dir)
		machines, records, err := w.files(size)
		if err != nil {
			return err
		}
		if err := runSiglab(w, env, "import", machines, records); err != nil {
			return err
		}
		p, err := startService(w, "SIGLAB", env)
		if err != nil {
			return err
		}
		var all []sample
		var bytes int64
		for range w.rounds {
			if err = highFrom(p.pid()); err != nil {
				break
			}
			var a answer
			if a, err = ask(w.ctx, p, http.StatusOK, "GET", "/api/mantenimientos/informe", nil, true); err != nil {
				break
			}
			bytes = int64(len(a.body))
			all = append(all, sample{a.first, a.took})
			_, high := residentOf(p.pid())
			resident = max(resident, float64(high)/1e6)
		}
		p.end()
		if err != nil {
			return err
		}
		var firsts, wholes []time.Duration
		for _, s := range all {
			firsts, wholes = append(firsts, s.first), append(wholes, s.whole)
		}
		first, whole := quantile(firsts, .5), quantile(wholes, .5)
		rows := size * (1 + recordsEach)
		share = first.Seconds() / whole.Seconds()
		perRow = append(perRow, whole.Seconds()/float64(rows)*1e6)
		fmt.Fprintf(t, "%d\t%d\t%.1f\t%.2f\t%.0f\t%.2f %%\t%.2f\t%.0f\t\n", size, size*recordsEach, float64(bytes)/1e6, first.Seconds()*1e3, whole.Seconds()*1e3, 100*share, perRow[len(perRow)-1], resident)
	}
	t.Flush()
	linear := perRow[len(perRow)-1] / perRow[0]
	w.promise(fmt.Sprintf("`informe` over %d machines and %d mantenimientos", w.reported, w.reported*recordsEach),
		"first byte after 1 % of the whole; under 100 MB resident; time linear", share <= .01 && resident < 100 && linear < 1.25,
		"%.2f %%; %.0f MB; time a row %.2f of that at a quarter of the size", 100*share, resident, linear)
	return nil
}

// files writes an inventory, and its records, as `siglab import` reads them.
func (w *world) files(size int) (machines, records string, err error) {
	write := func(name, columns string, rows int, row func(n int) string) (string, error) {
		path := filepath.Join(w.dir, fmt.Sprintf("%s-%d.csv", name, size))
		f, err := os.Create(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b := bufio.NewWriter(f)
		fmt.Fprintln(b, columns)
		for n := range rows {
			fmt.Fprintln(b, row(n))
		}
		return path, b.Flush()
	}
	machines, err = write("maquinas", "codigo_equipo,tipo_equipo,estado_actual,area,fecha,usuario", size, func(n int) string {
		m := nthMachine(n)
		return fmt.Sprintf("%s,%s,%s,%s,%s,%s", m.Codigo, m.Tipo, m.Estado, m.Area, m.Fecha, m.Usuario)
	})
	if err != nil {
		return "", "", err
	}
	records, err = write("mantenimientos", "codigo_maquina,empresa,tecnico,tipo,fecha,observaciones,usuario", size*recordsEach, func(n int) string {
		m := nthMachine(n / recordsEach)
		return fmt.Sprintf("%s,Soporte Técnico,Persona %d,preventivo,2026-%02d-%02d,Limpieza interna y cambio de la pasta térmica; temperatura normal.,", m.Codigo, n%50, 1+n%10, 1+n%28)
	})
	return machines, records, err
}
