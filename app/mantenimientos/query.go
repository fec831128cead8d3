package mantenimientos

import (
	"fmt"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/maquinas"
	"siglab/app/pagina"
	"siglab/app/texto"
)

// Limits of a page.
const (
	MaxLimite     = 10_000
	DefaultLimite = 100 // of all records; a machine's history is given whole, up to MaxLimite
)

// Consulta is a list as a client asks for it: query parameters, empty where they were not given.
type Consulta struct {
	Limite                     int // 0 is the default
	Cursor, Orden              string
	Tipo, Desde, Hasta, Buscar string
}

// NewQuery checks a client's wishes; limite is the default. A value out of range is a Malformed error that says the range.
func NewQuery(c Consulta, limite int) (Query, error) {
	q := Query{Limite: limite, Asc: c.Orden == "fecha:asc"}
	if c.Limite != 0 {
		q.Limite = c.Limite
	}
	if q.Limite < 1 || q.Limite > MaxLimite {
		return q, errs.New(errs.Malformed, fmt.Sprintf("limite debe estar entre 1 y %d.", MaxLimite))
	}
	if c.Orden != "" && c.Orden != "fecha:asc" && c.Orden != "fecha:desc" {
		return q, errs.New(errs.Malformed, "orden debe ser fecha:asc o fecha:desc.")
	}
	var ok bool
	if c.Tipo != "" {
		if q.Tipo, ok = ParseTipo(c.Tipo); !ok {
			return q, errs.New(errs.Malformed, "tipo debe ser preventivo o correctivo.")
		}
	}
	var err error
	if q.Desde, q.Hasta, err = maquinas.Rango(c.Desde, c.Hasta); err != nil {
		return q, err
	}
	q.Buscar = clave.Of(texto.Clean(c.Buscar))
	if c.Cursor != "" {
		cur, err := pagina.Decode(c.Cursor, q.orden(), 2)
		if err != nil {
			return q, err
		}
		q.After = cur.After
	}
	return q, nil
}

func (q Query) orden() string {
	if q.Asc {
		return "fecha:asc"
	}
	return "fecha:desc"
}

func (q Query) cursor(last Mantenimiento) string {
	return pagina.Cursor{Orden: q.orden(), After: []string{string(last.Fecha), last.ID}}.Encode()
}
