package importar

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"siglab/app/clave"
)

// kind is what a file holds.
type kind struct {
	columns  []string // as the contract names the fields that are sent
	optional string   // the column that may be missing
}

var (
	inventory = &kind{[]string{"codigo_equipo", "tipo_equipo", "estado_actual", "area", "fecha", "usuario"}, "usuario"}
	records   = &kind{[]string{"codigo_maquina", "empresa", "tecnico", "tipo", "fecha", "observaciones", "usuario"}, "usuario"}
)

// line is one line of a file after its header, its fields in the order of the kind's columns.
type line struct {
	file   string
	number int // in the file, where the header of a file without empty lines is 1
	fields []string
}

// Problem is why one line cannot be imported. Reason is a Spanish sentence.
type Problem struct {
	File   string
	Line   int
	Reason string
}

// String returns the problem as compilers write theirs, so that editors find the place.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason) }

// maxFile bounds what is read into memory, in bytes: a million machines take some 100 MB.
const maxFile = 256 << 20

// read parses one file. Problems with single lines come back beside those that are good; an error means that the file cannot
// be read at all.
func read(path string) (*kind, []line, []Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, nil, fmt.Errorf("no existe el archivo %s", path)
		}
		return nil, nil, nil, fmt.Errorf("no se puede abrir el archivo %s", path)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, nil, fmt.Errorf("no se puede leer el archivo %s", path)
	case len(b) > maxFile:
		return nil, nil, nil, fmt.Errorf("el archivo %s pasa de %d MB; divídalo", path, maxFile>>20)
	}
	k, lines, problems := parse(path, b)
	return k, lines, problems, nil
}

// parse reads the text of one file. It takes what spreadsheets write: a byte order mark, semicolons, any order of the columns,
// lines that are empty but for separators.
func parse(file string, b []byte) (*kind, []line, []Problem) {
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	r := csv.NewReader(bytes.NewReader(b))
	r.Comma = separator(b)
	r.FieldsPerRecord = -1 // a wrong number of columns is told in our words
	r.ReuseRecord = true

	header, err := r.Read()
	if err != nil {
		reason := "El archivo está vacío; la primera línea debe nombrar las columnas."
		if err != io.EOF {
			reason = syntaxReason(err)
		}
		return nil, nil, []Problem{{file, 1, reason}}
	}
	number, _ := r.FieldPos(0)
	k, place, reason := columns(header)
	if reason != "" {
		return nil, nil, []Problem{{file, number, reason}}
	}
	width := len(header)

	var lines []line
	var problems []Problem
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return k, lines, problems
		}
		if err != nil {
			at := number + 1
			if p, ok := errors.AsType[*csv.ParseError](err); ok {
				at = p.StartLine
			}
			problems = append(problems, Problem{file, at, syntaxReason(err)})
			continue
		}
		number, _ = r.FieldPos(0)
		switch {
		case !slices.ContainsFunc(fields, func(f string) bool { return strings.TrimSpace(f) != "" }):
		case len(fields) != width:
			problems = append(problems, Problem{file, number, fmt.Sprintf("La línea tiene %d columnas y el encabezado %d.", len(fields), width)})
		case slices.ContainsFunc(fields, func(f string) bool { return !utf8.ValidString(f) }):
			problems = append(problems, Problem{file, number, "El texto no está en UTF-8; guarde el archivo como CSV UTF-8."})
		default:
			l := line{file, number, make([]string, len(k.columns))}
			for i, at := range place {
				if at >= 0 {
					l.fields[i] = strings.Clone(fields[at]) // the reader's memory holds the whole line
				}
			}
			lines = append(lines, l)
		}
	}
}

// separator is the comma, or the semicolon where the header has more of them.
func separator(b []byte) rune {
	header, _, _ := bytes.Cut(bytes.TrimLeft(b, "\r\n"), []byte("\n"))
	if bytes.Count(header, []byte(";")) > bytes.Count(header, []byte(",")) {
		return ';'
	}
	return ','
}

// columns finds what a header announces and where each of its columns stands, -1 for the optional one that is missing.
func columns(header []string) (k *kind, place []int, reason string) {
	names := make([]string, len(header))
	for i, h := range header {
		names[i] = clave.Of(strings.TrimSpace(h))
	}
	switch {
	case slices.Contains(names, inventory.columns[0]):
		k = inventory
	case slices.Contains(names, records.columns[0]):
		k = records
	default:
		return nil, nil, fmt.Sprintf("El encabezado no se reconoce; debe ser %s, o bien %s.",
			strings.Join(inventory.columns, ","), strings.Join(records.columns, ","))
	}
	for i, name := range names {
		switch {
		case !slices.Contains(k.columns, name):
			return nil, nil, fmt.Sprintf("La columna %q no se conoce; las columnas son %s.", header[i], strings.Join(k.columns, ","))
		case slices.Index(names, name) != i:
			return nil, nil, fmt.Sprintf("La columna %s aparece dos veces.", name)
		}
	}
	for _, name := range k.columns {
		at := slices.Index(names, name)
		if at < 0 && name != k.optional {
			return nil, nil, fmt.Sprintf("Falta la columna %s.", name)
		}
		place = append(place, at)
	}
	return k, place, ""
}

func syntaxReason(err error) string {
	if errors.Is(err, csv.ErrQuote) || errors.Is(err, csv.ErrBareQuote) {
		return "Las comillas no están bien cerradas; dentro de un texto entre comillas se escriben dobles."
	}
	return "La línea no se puede leer como CSV."
}
