// Command generar writes the sample inventory of a campus: maquinas.csv and mantenimientos.csv, for `siglab import` and for
// trying the service with data worth looking at. Its output is the same every time; the people and firms are made up.
package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	machines = 400
	records  = 2500
)

// Days between which everything happens. They are fixed, since the files must not depend on the day they are written.
var (
	firstDay = time.Date(2019, time.February, 4, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC)
)

func main() { os.Exit(run()) }

func run() int {
	dir := flag.String("dir", filepath.Join("tests", "datos"), "`folder` that the files are written to")
	flag.Parse()
	for name, content := range generate() {
		if err := os.WriteFile(filepath.Join(*dir, name), []byte(content), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "generar:", err)
			return 1
		}
	}
	return 0
}

// generate returns the files' texts by name.
func generate() map[string]string {
	d := &dice{state: 20260801}
	inventory := d.inventory()
	return map[string]string{
		"maquinas.csv":       table(inventoryHeader, machineRows(inventory)),
		"mantenimientos.csv": table(recordHeader, d.recordRows(inventory)),
	}
}

var (
	inventoryHeader = []string{"codigo_equipo", "tipo_equipo", "estado_actual", "area", "fecha", "usuario"}
	recordHeader    = []string{"codigo_maquina", "empresa", "tecnico", "tipo", "fecha", "observaciones", "usuario"}
)

func table(header []string, rows [][]string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write(header)  // a strings.Builder takes everything,
	_ = w.WriteAll(rows) // and WriteAll flushes
	return b.String()
}

// dice is splitmix64: a few lines that no release of a library can change, so neither can the files.
type dice struct{ state uint64 }

func (d *dice) roll() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to n-1.
func (d *dice) below(n int) int { return int(d.roll() % uint64(n)) }

func (d *dice) between(low, high int) int { return low + d.below(high-low+1) }

func (d *dice) percent(p int) bool { return d.below(100) < p }

func (d *dice) one(of []string) string { return of[d.below(len(of))] }

// day returns a working day from first to last.
func (d *dice) day(first, last time.Time) time.Time {
	t := first.AddDate(0, 0, d.below(int(last.Sub(first).Hours()/24)+1))
	for t.Weekday() == time.Saturday || t.Weekday() == time.Sunday {
		if t = t.AddDate(0, 0, 1); t.After(last) {
			t = first
		}
	}
	return t
}

func (d *dice) person() string {
	return d.one(names) + " " + d.one(surnames) + " " + d.one(surnames)
}

// people returns n different persons.
func (d *dice) people(n int) []string {
	var all []string
	seen := map[string]bool{}
	for len(all) < n {
		if p := d.person(); !seen[p] {
			seen[p] = true
			all = append(all, p)
		}
	}
	return all
}

type machine struct {
	code, kind, state, area, user string
	since                         time.Time
	worn                          int // how often it needs repair, in percent of its records
}

func (d *dice) inventory() []machine {
	var all []machine
	for _, a := range areas {
		staff := d.people(a.staff)
		all = append(all, d.some(a, "PC", a.pcs, staff)...)
		all = append(all, d.some(a, "IMP", a.printers, staff)...)
	}
	return all
}

func (d *dice) some(a area, kind string, n int, staff []string) []machine {
	var all []machine
	bought := d.day(firstDay, lastDay.AddDate(-1, 0, 0))
	for i := 1; i <= n; i++ {
		if i%d.between(8, 14) == 0 { // machines are bought by the dozen
			bought = d.day(firstDay, lastDay.AddDate(0, -2, 0))
		}
		m := machine{
			code: fmt.Sprintf("%s-%s-%03d", a.short, kind, i), kind: kind, state: "operativa", area: a.name,
			since: bought, worn: d.between(20, 60),
		}
		switch p := d.below(100); {
		case p < 8:
			m.state = "en mantenimiento"
		case p < 12:
			m.state = "fuera de servicio"
		}
		if a.personal && kind == "PC" || d.percent(15) {
			m.user = d.one(staff)
		}
		all = append(all, m)
	}
	return all
}

func machineRows(inventory []machine) [][]string {
	var rows [][]string
	for _, m := range inventory {
		rows = append(rows, []string{m.code, m.kind, m.state, m.area, m.since.Format(time.DateOnly), m.user})
	}
	return rows
}

func (d *dice) recordRows(inventory []machine) [][]string {
	type firm struct {
		name  string
		staff []string
	}
	var firms []firm
	for i, name := range firmNames {
		n := 3
		if i == 0 {
			n = 8 // the university's own workshop
		}
		firms = append(firms, firm{name, d.people(n)})
	}
	clerks := d.people(6)
	var rows [][]string
	for len(rows) < records {
		m := inventory[d.below(len(inventory))]
		f := firms[0]
		if d.percent(35) {
			f = firms[1+d.below(len(firms)-1)]
		}
		kind, texts := "preventivo", preventivePC
		switch repair := d.percent(m.worn); {
		case repair && m.kind == "PC":
			kind, texts = "correctivo", repairPC
		case repair:
			kind, texts = "correctivo", repairPrinter
		case m.kind == "IMP":
			texts = preventivePrinter
		}
		text := d.fill(d.one(texts))
		if d.percent(40) {
			text += " " + d.fill(d.one(remarks))
		}
		clerk := ""
		if d.percent(85) {
			clerk = d.one(clerks)
		}
		rows = append(rows, []string{
			m.code, f.name, d.one(f.staff), kind, d.day(m.since, lastDay).Format(time.DateOnly), text, clerk,
		})
	}
	return rows
}

// fill puts something in each {slot} of a text.
func (d *dice) fill(text string) string {
	for {
		before, rest, found := strings.Cut(text, "{")
		if !found {
			return text
		}
		slot, after, _ := strings.Cut(rest, "}")
		text = before + d.slot(slot) + after
	}
}

func (d *dice) slot(name string) string {
	switch name {
	case "temp":
		return fmt.Sprint(d.between(34, 58))
	case "horas":
		return fmt.Sprint(d.between(1, 6))
	case "dias":
		return fmt.Sprint(d.between(2, 15))
	case "paginas":
		return fmt.Sprint(d.between(4, 180) * 500)
	case "orden":
		return fmt.Sprintf("%04d", d.between(100, 9999))
	case "watts":
		return d.one([]string{"350", "450", "500", "600"})
	case "ram":
		return d.one([]string{"4", "8", "16"})
	case "disco":
		return d.one([]string{"240", "480", "512", "960"})
	case "parte":
		return d.one([]string{"el teclado", "el ratón", "el cable de poder", "el cable de red", "el monitor"})
	case "programa":
		return d.one([]string{"el antivirus", "la suite de oficina", "el navegador", "el controlador de vídeo", "el simulador de redes", "el entorno de desarrollo"})
	}
	panic("generar: unknown slot " + name)
}
