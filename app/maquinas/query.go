package maquinas

import (
	"fmt"
	"strings"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/pagina"
	"siglab/app/texto"
)

// MaxLimite is the most machines a page may hold, and how many it holds when the client names no number.
const MaxLimite = 10_000

// Filtro selects machines; its zero value selects all.
type Filtro struct {
	Tipo   Tipo
	Estado Estado
	Area   string      // the whole area, to the letter
	Desde  fecha.Fecha // first day of registration, included
	Hasta  fecha.Fecha // last day, included
	Buscar string      // clave.Of of a part of the code
}

// Campo is a field that lists may be ordered by. Equal values are ordered by code, in the same direction.
type Campo string

// The fields of an order.
const (
	PorCodigo Campo = "codigo"
	PorTipo   Campo = "tipo"
	PorEstado Campo = "estado"
	PorArea   Campo = "area"
	PorFecha  Campo = "fecha"
)

// Query is one page of a list.
type Query struct {
	Filtro
	Campo  Campo
	Desc   bool
	Limite int // 1 to MaxLimite
	// After is the last row of the page before: the value of Campo and the key of its code, or the key alone when Campo is
	// PorCodigo. Nil is the first page.
	After []string
}

// Consulta is a list as a client asks for it: query parameters, empty where they were not given.
type Consulta struct {
	Limite              int // 0 is the default
	Cursor, Orden       string
	Tipo, Estado, Area  string
	Desde, Hasta, Texto string // Texto is buscar or termino
}

// NewQuery checks a client's wishes. A value out of range is a Malformed error that says the range.
func NewQuery(c Consulta) (Query, error) {
	q := Query{Campo: PorCodigo, Limite: MaxLimite}
	if c.Limite != 0 {
		q.Limite = c.Limite
	}
	if q.Limite < 1 || q.Limite > MaxLimite {
		return q, errs.New(errs.Malformed, fmt.Sprintf("limite debe estar entre 1 y %d.", MaxLimite))
	}
	if c.Orden != "" {
		campo, sentido, _ := strings.Cut(c.Orden, ":")
		q.Campo, q.Desc = Campo(campo), sentido == "desc"
		known := q.Campo == PorCodigo || q.Campo == PorTipo || q.Campo == PorEstado || q.Campo == PorArea || q.Campo == PorFecha
		if !known || sentido != "asc" && sentido != "desc" {
			return q, errs.New(errs.Malformed, "orden debe ser codigo, tipo, estado, area o fecha, seguido de :asc o :desc.")
		}
	}
	var ok bool
	if c.Tipo != "" {
		if q.Tipo, ok = ParseTipo(c.Tipo); !ok {
			return q, errs.New(errs.Malformed, "tipo debe ser PC o IMP.")
		}
	}
	if c.Estado != "" {
		if q.Estado, ok = ParseEstado(c.Estado); !ok {
			return q, errs.New(errs.Malformed, "estado debe ser operativa, en mantenimiento o fuera de servicio.")
		}
	}
	q.Area = texto.Clean(c.Area)
	q.Buscar = clave.Of(strings.TrimSpace(c.Texto))
	var err error
	if q.Desde, q.Hasta, err = Rango(c.Desde, c.Hasta); err != nil {
		return q, err
	}
	if c.Cursor != "" {
		n := 2
		if q.Campo == PorCodigo {
			n = 1
		}
		cur, err := pagina.Decode(c.Cursor, q.orden(), n)
		if err != nil {
			return q, err
		}
		q.After = cur.After
	}
	return q, nil
}

// Rango checks the two days of a filter, either of which may be empty.
func Rango(desde, hasta string) (d, h fecha.Fecha, err error) {
	if desde != "" {
		if d, err = fecha.Parse(desde); err != nil {
			return d, h, errs.New(errs.Malformed, "desde debe ser un día real con la forma AAAA-MM-DD.")
		}
	}
	if hasta != "" {
		if h, err = fecha.Parse(hasta); err != nil {
			return d, h, errs.New(errs.Malformed, "hasta debe ser un día real con la forma AAAA-MM-DD.")
		}
	}
	if d != "" && h != "" && d > h {
		return d, h, errs.New(errs.Malformed, "desde no puede ser posterior a hasta.")
	}
	return d, h, nil
}

// Whole says that q is the first page of everything in the usual order and size: what the front end's list shows.
func (q Query) Whole() bool {
	return q.Filtro == Filtro{} && q.Campo == PorCodigo && !q.Desc && q.Limite == MaxLimite && q.After == nil
}

func (q Query) orden() string {
	if q.Desc {
		return string(q.Campo) + ":desc"
	}
	return string(q.Campo) + ":asc"
}

// cursor returns what a cursor keeps of the last row of a page.
func (q Query) cursor(last Maquina) string {
	k := clave.Of(last.Codigo)
	after := []string{k}
	switch q.Campo {
	case PorTipo:
		after = []string{string(last.Tipo), k}
	case PorEstado:
		after = []string{string(last.Estado), k}
	case PorArea:
		after = []string{last.Area, k}
	case PorFecha:
		after = []string{string(last.Fecha), k}
	}
	return pagina.Cursor{Orden: q.orden(), After: after}.Encode()
}

// Key names the query in a cache: two queries with the same key have the same answer.
func (q Query) Key() string {
	return fmt.Sprintf("%q", []string{q.orden(), fmt.Sprint(q.Limite), string(q.Tipo), string(q.Estado), q.Area,
		string(q.Desde), string(q.Hasta), q.Buscar, strings.Join(q.After, "\x00")})
}
