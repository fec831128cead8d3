package importar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"siglab/app/cache"
	"siglab/app/importar"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/memory"
	"siglab/app/sqlite"
	"siglab/app/sqlstore"
)

const (
	inventory = "codigo_equipo,tipo_equipo,estado_actual,area,fecha,usuario\n"
	records   = "codigo_maquina,empresa,tecnico,tipo,fecha,observaciones,usuario\n"
)

// bench is a store, the services over it and a folder for files.
type bench struct {
	t              *testing.T
	dir            string
	maquinas       *maquinas.Service
	mantenimientos *mantenimientos.Service
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c := cache.New(memory.NewCache(1<<20, time.Minute, time.Now), func(string, string) {})
	store := &sqlstore.Maquinas{DB: db.SQL(time.Now)}
	b := &bench{t: t, dir: t.TempDir()}
	b.mantenimientos = &mantenimientos.Service{Store: sqlite.NewMantenimientos(db, time.Now), Maquinas: store, Cache: c, Now: time.Now}
	b.maquinas = &maquinas.Service{Store: store, Outbox: store, Records: b.mantenimientos, Cache: c, Now: time.Now,
		Report: func(_ context.Context, what string, err error) { t.Error(what, err) }}
	return b
}

func (b *bench) file(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// run imports files and returns what it said, without the folder's name.
func (b *bench) run(ctx context.Context, terminal bool, files ...string) (out, said string, err error) {
	b.t.Helper()
	var o, e bytes.Buffer
	err = importar.Run(ctx, importar.Options{Files: files, Maquinas: b.maquinas, Mantenimientos: b.mantenimientos, Out: &o, Err: &e, Terminal: terminal})
	short := strings.NewReplacer(b.dir+string(filepath.Separator), "")
	return short.Replace(o.String()), short.Replace(e.String()), err
}

// contents lists what is stored, a line each.
func (b *bench) contents() string {
	b.t.Helper()
	var s strings.Builder
	ms, err := b.maquinas.Store.Page(b.t.Context(), maquinas.Query{Campo: maquinas.PorCodigo, Limite: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range ms {
		fmt.Fprintf(&s, "%s %s %s|%s|%s|%s\n", m.Codigo, m.Tipo, m.Estado, m.Area, m.Fecha, m.Usuario)
	}
	rs, err := b.mantenimientos.Store.Page(b.t.Context(), mantenimientos.Query{Asc: true, Limite: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range rs {
		fmt.Fprintf(&s, "%s %s|%s|%s|%s|%s|%s\n", r.CodigoMaquina, r.Tipo, r.Fecha, r.Empresa, r.Tecnico, r.Observaciones, r.Usuario)
	}
	return s.String()
}

func (b *bench) mustRun(want string, files ...string) {
	b.t.Helper()
	out, said, err := b.run(b.t.Context(), false, files...)
	if err != nil || said != "" {
		b.t.Fatalf("got %v, and said %q", err, said)
	}
	if out != want {
		b.t.Errorf("summary:\n got %q\nwant %q", out, want)
	}
}

func TestImport(t *testing.T) {
	b := newBench(t)
	m := b.file("m.csv", inventory+"PC-1,Computadora,Operativo,Aula 1,2024-01-31,\nImp-2,IMP,dañado,\"Aula \"\"B\"\", piso 2\",2023-05-01,Inés Dávila\n")
	r := b.file("r.csv", records+
		"pc-1,TecnoRed,Saúl,Preventivo,2025-01-01,\"Limpieza;\nqueda bien.\",\n"+
		"PC-1,TecnoRed,Saúl,correctivo,2025-01-02,Fuente.,Eva\n"+
		"PC-1,TecnoRed,Saúl,correctivo,2025-01-02,Fuente.,Eva\n")
	want := "Imp-2 IMP fuera de servicio|Aula \"B\", piso 2|2023-05-01|Inés Dávila\nPC-1 PC operativa|Aula 1|2024-01-31|\n" +
		"PC-1 preventivo|2025-01-01|TecnoRed|Saúl|Limpieza;\nqueda bien.|\n" +
		"PC-1 correctivo|2025-01-02|TecnoRed|Saúl|Fuente.|Eva\nPC-1 correctivo|2025-01-02|TecnoRed|Saúl|Fuente.|Eva\n"
	b.mustRun("r.csv: 3 mantenimientos nuevos, 0 ya estaban.\nm.csv: 2 máquinas nuevas, 0 ya estaban.\n", r, m)
	if got := b.contents(); got != want {
		t.Errorf("stored:\n got %s\nwant %s", got, want)
	}
	b.mustRun("m.csv: 0 máquinas nuevas, 2 ya estaban.\nr.csv: 0 mantenimientos nuevos, 3 ya estaban.\n", m, r)
	if got := b.contents(); got != want {
		t.Errorf("stored after the second import:\n got %s\nwant %s", got, want)
	}

	t.Log("A file that has grown adds what it has grown by, equal lines included.")
	more := b.file("more.csv", records+strings.Repeat("PC-1,TecnoRed,Saúl,correctivo,2025-01-02,Fuente.,Eva\n", 4)+"imp-2,TecnoRed,Saúl,correctivo,2025-01-02,Fuente.,Eva\n")
	b.mustRun("more.csv: 3 mantenimientos nuevos, 2 ya estaban.\n", more)
	b.mustRun("more.csv: 0 mantenimientos nuevos, 5 ya estaban.\n", more)

	t.Log("A machine registered anew has no history, whatever was imported before.")
	if err := b.maquinas.Delete(t.Context(), "pc-1", nil); err != nil {
		t.Fatal(err)
	}
	b.mustRun("m.csv: 1 máquinas nuevas, 1 ya estaban.\nr.csv: 3 mantenimientos nuevos, 0 ya estaban.\n", m, r)
}

// TestSpreadsheets: what spreadsheets make of a CSV file is taken.
func TestSpreadsheets(t *testing.T) {
	for name, text := range map[string]string{
		"a byte order mark":        "\uFEFF" + inventory + "PC-1,PC,operativa,Aula,2024-01-31,Eva\n",
		"semicolons":               strings.ReplaceAll(inventory+"PC-1,PC,operativa,Aula,2024-01-31,Eva\n", ",", ";"),
		"both":                     "\uFEFF" + strings.ReplaceAll(inventory+"PC-1,PC,operativa,Aula,2024-01-31,Eva\n", ",", ";"),
		"CRLF":                     strings.ReplaceAll(inventory+"PC-1,PC,operativa,Aula,2024-01-31,Eva\n", "\n", "\r\n"),
		"no line break at the end": inventory + "PC-1,PC,operativa,Aula,2024-01-31,Eva",
		"empty lines":              "\n" + inventory + "\n\nPC-1,PC,operativa,Aula,2024-01-31,Eva\n\n",
		"lines of separators":      inventory + "PC-1,PC,operativa,Aula,2024-01-31,Eva\n,,,,,\n , ,,,,\n",
		"another order":            "usuario,AREA,Fecha, codigo_equipo ,estado_actual,tipo_equipo\nEva,Aula,2024-01-31,PC-1,operativa,PC\n",
		"everything in quotes":     `"codigo_equipo","tipo_equipo","estado_actual","area","fecha","usuario"` + "\n" + `"PC-1","PC","operativa","Aula","2024-01-31","Eva"` + "\n",
		"blanks around the fields": inventory + " PC-1 , pc , OPERATIVA , Aula , 2024-01-31 , Eva \n",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.mustRun("m.csv: 1 máquinas nuevas, 0 ya estaban.\n", b.file("m.csv", text))
			if got, want := b.contents(), "PC-1 PC operativa|Aula|2024-01-31|Eva\n"; got != want {
				t.Errorf("stored: got %q, want %q", got, want)
			}
		})
	}
	t.Run("no column usuario", func(t *testing.T) {
		b := newBench(t)
		b.mustRun("m.csv: 1 máquinas nuevas, 0 ya estaban.\n", b.file("m.csv", "codigo_equipo,tipo_equipo,estado_actual,area,fecha\nPC-1,PC,operativa,Aula,2024-01-31\n"))
	})
}

// TestBadLines: each bad line is named with its number and why, and nothing is written.
func TestBadLines(t *testing.T) {
	good := "PC-1,PC,operativa,Aula,2024-01-31,\n"
	for name, c := range map[string]struct{ text, want string }{
		"an empty file":         {"", "m.csv:1: El archivo está vacío; la primera línea debe nombrar las columnas.\n"},
		"a mark and nothing":    {"\uFEFF", "m.csv:1: El archivo está vacío; la primera línea debe nombrar las columnas.\n"},
		"no header":             {good, "m.csv:1: El encabezado no se reconoce; debe ser codigo_equipo,tipo_equipo,estado_actual,area,fecha,usuario, o bien codigo_maquina,empresa,tecnico,tipo,fecha,observaciones,usuario.\n"},
		"an unknown column":     {strings.Replace(inventory, "usuario", "dueño", 1) + good, "m.csv:1: La columna \"dueño\" no se conoce; las columnas son codigo_equipo,tipo_equipo,estado_actual,area,fecha,usuario.\n"},
		"a column twice":        {strings.Replace(inventory, "usuario", "area", 1) + good, "m.csv:1: La columna area aparece dos veces.\n"},
		"a column too few":      {strings.Replace(inventory, "fecha,", "", 1) + good, "m.csv:1: Falta la columna fecha.\n"},
		"too few fields":        {inventory + good + "PC-2,PC,operativa\n", "m.csv:3: La línea tiene 3 columnas y el encabezado 6.\n"},
		"too many fields":       {inventory + "PC-2,PC,operativa,Aula, piso 2,2024-01-31,\n", "m.csv:2: La línea tiene 7 columnas y el encabezado 6.\n"},
		"Latin-1":               {inventory + good + "PC-2,PC,operativa,Tesorer\xeda,2024-01-31,\n", "m.csv:3: El texto no está en UTF-8; guarde el archivo como CSV UTF-8.\n"},
		"UTF-16":                {"\xff\xfec\x00o\x00", "m.csv:1: El encabezado no se reconoce; debe ser codigo_equipo,tipo_equipo,estado_actual,area,fecha,usuario, o bien codigo_maquina,empresa,tecnico,tipo,fecha,observaciones,usuario.\n"},
		"an open quote":         {inventory + good + "PC-2,PC,operativa,\"Aula,2024-01-31,\nPC-3,PC,operativa,Aula,2024-01-31,\n", "m.csv:3: Las comillas no están bien cerradas; dentro de un texto entre comillas se escriben dobles.\n"},
		"a bare quote":          {inventory + "PC-2,PC,operativa,Aula \"B\",2024-01-31,\n" + good + "PC-4,PC,rota,Aula,2024-01-31,\n", "m.csv:2: Las comillas no están bien cerradas; dentro de un texto entre comillas se escriben dobles.\nm.csv:4: El estado debe ser operativa, en mantenimiento o fuera de servicio.\n"},
		"rules":                 {inventory + "PC 1,LAPTOP,rota,,31/01/2024,\n", "m.csv:2: El código no admite espacios, caracteres de control ni los signos / # ? & +.\nm.csv:2: El campo area es obligatorio.\nm.csv:2: El tipo debe ser PC, COMPUTADORA, IMP o IMPRESORA.\nm.csv:2: El estado debe ser operativa, en mantenimiento o fuera de servicio.\nm.csv:2: La fecha debe ser un día real con la forma AAAA-MM-DD.\n"},
		"numbers after a break": {inventory + "PC-1,PC,operativa,\"Aula\n", "m.csv:2: Las comillas no están bien cerradas; dentro de un texto entre comillas se escriben dobles.\n"},
		"a line break in a field": {inventory + "PC-1,PC,operativa,\"Aula\n1\",2024-01-31,\nPC-2,PC,rota,Aula,2024-01-31,\n",
			"m.csv:2: El campo area no admite caracteres de control.\nm.csv:4: El estado debe ser operativa, en mantenimiento o fuera de servicio.\n"},
		"a code twice":       {inventory + good + "PC-2,PC,operativa,Aula,2024-01-31,\npc-1,PC,operativa,Aula,2024-01-31,\n", "m.csv:4: El código pc-1 ya está en la línea 2.\n"},
		"a code without":     {inventory + ",PC,operativa,Aula,2024-01-31,\n,PC,operativa,Aula,2024-01-31,\n", "m.csv:2: El campo codigo_equipo es obligatorio.\nm.csv:3: El campo codigo_equipo es obligatorio.\n"},
		"an unknown machine": {records + "PC-9,TecnoRed,Saúl,preventivo,2025-01-01,Limpieza.,\nYA-1,TecnoRed,Saúl,preventivo,2025-01-01,Limpieza.,\n", "m.csv:2: No existe una máquina con el código PC-9.\n"},
		"rules of a record":  {records + "ya-1,TecnoRed,,predictivo,2025-02-30,,\n", "m.csv:2: El campo tecnico es obligatorio.\nm.csv:2: El campo observaciones es obligatorio.\nm.csv:2: El tipo debe ser preventivo o correctivo.\nm.csv:2: La fecha debe ser un día real con la forma AAAA-MM-DD.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if _, err := b.maquinas.Add(t.Context(), maquinas.Entrada{Codigo: "Ya-1", Tipo: "PC", Estado: "operativa", Area: "Aula", Fecha: "2024-01-01"}, nil); err != nil {
				t.Fatal(err)
			}
			before := b.contents()
			out, said, err := b.run(t.Context(), true, b.file("m.csv", c.text))
			rejected, ok := errors.AsType[*importar.Rejected](err)
			if !ok || len(rejected.Problems) != strings.Count(c.want, "\n") || !strings.HasPrefix(err.Error(), "no se importó nada") {
				t.Errorf("error: got %v", err)
			}
			if said != c.want || out != "" {
				t.Errorf("said:\n got %q and %q\nwant %q", said, out, c.want)
			}
			if got := b.contents(); got != before {
				t.Errorf("stored: got %q, want %q", got, before)
			}
		})
	}
}

// TestBadLinesOfSeveralFiles names each file, and takes a machine of one file for known in another even where its line is bad.
func TestBadLinesOfSeveralFiles(t *testing.T) {
	b := newBench(t)
	r := b.file("r.csv", records+"PC-1,TecnoRed,Saúl,preventivo,2025-01-01,Limpieza.,\nPC-2,TecnoRed,Saúl,preventivo,2025-01-01,Limpieza.,\nPC-3,TecnoRed,Saúl,preventivo,2025-01-01,Limpieza.,\n")
	one := b.file("one.csv", inventory+"PC-1,PC,operativa,Aula,2024-01-31,\nPC-2,PC,rota,Aula,2024-01-31,\n")
	two := b.file("two.csv", inventory+"pc-1,PC,operativa,Aula,2024-01-31,\n")
	_, said, err := b.run(t.Context(), false, r, one, two)
	want := "r.csv:4: No existe una máquina con el código PC-3.\none.csv:3: El estado debe ser operativa, en mantenimiento o fuera de servicio.\n" +
		"two.csv:2: El código pc-1 ya está en la línea 2 de one.csv.\n"
	if said != want {
		t.Errorf("said:\n got %q\nwant %q", said, want)
	}
	if got, want := fmt.Sprint(err), "no se importó nada: hay 3 errores"; got != want {
		t.Errorf("error: got %q, want %q", got, want)
	}
	if got := b.contents(); got != "" {
		t.Errorf("stored: %s", got)
	}
	_, _, err = b.run(t.Context(), false, one, filepath.Join(b.dir, "nada.csv"))
	if err == nil || !strings.Contains(err.Error(), "no existe el archivo") {
		t.Errorf("a file that does not exist: got %v", err)
	}
}

// TestExistingMachinesAreNotOverwritten, only told.
func TestExistingMachinesAreNotOverwritten(t *testing.T) {
	b := newBench(t)
	b.mustRun("m.csv: 2 máquinas nuevas, 0 ya estaban.\n", b.file("m.csv", inventory+"Pc-1,PC,operativa,Aula,2024-01-31,Eva\nPC-2,PC,operativa,Aula,2024-01-31,Eva\n"))
	before := b.contents()
	out, said, err := b.run(t.Context(), false, b.file("otra.csv", inventory+"PC-1,IMP,dañado,Otra,2024-02-01,Ana\nPC-2,pc,operativo,Aula,2024-01-31,\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := said, "otra.csv:2: La máquina Pc-1 ya estaba con otros datos (tipo_equipo, estado_actual, area, fecha, usuario); no se cambió.\n"; got != want {
		t.Errorf("said: got %q, want %q", got, want)
	}
	if got, want := out, "otra.csv: 0 máquinas nuevas, 2 ya estaban.\n"; got != want {
		t.Errorf("summary: got %q, want %q", got, want)
	}
	if got := b.contents(); got != before {
		t.Errorf("stored: got %q, want %q", got, before)
	}
}

// TestInterruptedImportIsCompleted ends an import after some number of writes, and runs it again.
func TestInterruptedImportIsCompleted(t *testing.T) {
	var rows, more strings.Builder
	for i := range 12 {
		fmt.Fprintf(&rows, "PC-%d,PC,operativa,Aula,2024-01-31,\n", i)
		for range 3 { // equal lines, which only their number tells apart
			fmt.Fprintf(&more, "PC-%d,TecnoRed,Saúl,preventivo,2025-01-01,Limpieza.,\n", i%4)
		}
	}
	for _, stop := range []int{0, 1, 2, 3, 6, 11, 20, 29, 35, 36} {
		b := newBench(t)
		m, r := b.file("m.csv", inventory+rows.String()), b.file("r.csv", records+more.String())
		ctx, cancel := context.WithCancel(t.Context())
		writes := &countdown{left: stop, end: cancel}
		b.maquinas.Store = countedMaquinas{b.maquinas.Store, writes}
		b.mantenimientos.Store = countedMantenimientos{b.mantenimientos.Store, writes}
		_, _, err := b.run(ctx, false, m, r)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "repita") {
			t.Fatalf("stopped after %d writes: got %v, want an error that says to repeat", stop, err)
		}
		writes.left = 1 << 30
		out, _, err := b.run(t.Context(), false, m, r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Count(b.contents(), "\n"), 12+36; got != want {
			t.Errorf("stopped after %d writes: got %d machines and records in the end, want %d; %s", stop, got, want, out)
		}
	}
}

// TestMachinesThatAppearMeanwhile has somebody register machines between the check and the writes.
func TestMachinesThatAppearMeanwhile(t *testing.T) {
	b := newBench(t)
	var rows strings.Builder
	for i := range 20 {
		fmt.Fprintf(&rows, "PC-%02d,PC,operativa,Aula,2024-01-31,\n", i)
	}
	b.maquinas.Store = &overtaken{Store: b.maquinas.Store, codes: []string{"pc-03", "pc-17"}}
	b.mustRun("m.csv: 18 máquinas nuevas, 2 ya estaban.\n", b.file("m.csv", inventory+rows.String()))
	if got := strings.Count(b.contents(), "\n"); got != 20 {
		t.Errorf("got %d machines, want 20", got)
	}
}

func TestProgressBarIsForTerminals(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		b := newBench(t)
		_, said, err := b.run(t.Context(), terminal, b.file("m.csv", inventory+"PC-1,PC,operativa,Aula,2024-01-31,\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(said, "Máquinas"); got != terminal {
			t.Errorf("terminal %v: said %q", terminal, said)
		}
	}
}
