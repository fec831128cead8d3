// Package mantenimientos records what was done to the machines: its rules, each machine's history, the reports and the
// figures of the dashboard.
package mantenimientos

import (
	"strings"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/texto"
)

// Limits of the fields, in characters.
const (
	MaxNombre        = 100 // empresa, tecnico and usuario
	MaxObservaciones = 2000
)

// Tipo is why the work was done. The empty Tipo stands in old records that lack it.
type Tipo string

// The kinds of work.
const (
	Preventivo Tipo = "preventivo"
	Correctivo Tipo = "correctivo"
)

// ParseTipo accepts the two kinds in any case.
func ParseTipo(s string) (Tipo, bool) {
	switch t := Tipo(clave.Of(strings.TrimSpace(s))); t {
	case Preventivo, Correctivo:
		return t, true
	}
	return "", false
}

// Mantenimiento is one record of work on one machine.
type Mantenimiento struct {
	ID            string // 24 hexadecimal digits, as MongoDB's ObjectIDs are written; old records may hold other texts
	MaquinaID     int64  // maquinas.Maquina.ID; 0 in old records of machines that no longer exist
	CodigoMaquina string // the machine's code in the form in which it was registered
	Empresa       string
	Tecnico       string
	Tipo          Tipo
	Fecha         fecha.Fecha
	Observaciones string
	Usuario       string // who recorded it; empty is unknown
}

// Entrada is a record as a client sends it.
type Entrada struct {
	CodigoMaquina, Empresa, Tecnico, Tipo, Fecha, Observaciones, Usuario string
}

// New checks a record and returns it without ID and machine. An Invalid error names each field that breaks a rule.
func New(e Entrada) (Mantenimiento, error) {
	var bad errs.Fields
	m := Mantenimiento{
		CodigoMaquina: texto.Clean(e.CodigoMaquina), Empresa: texto.Clean(e.Empresa), Tecnico: texto.Clean(e.Tecnico),
		Observaciones: texto.Clean(e.Observaciones), Usuario: texto.Clean(e.Usuario),
	}
	tipo, dia := texto.Clean(e.Tipo), texto.Clean(e.Fecha)
	texto.Required(&bad, "codigo_maquina", m.CodigoMaquina)
	texto.Required(&bad, "empresa", m.Empresa)
	texto.Required(&bad, "tecnico", m.Tecnico)
	texto.Required(&bad, "tipo", tipo)
	texto.Required(&bad, "fecha", dia)
	texto.Required(&bad, "observaciones", m.Observaciones)
	texto.Check(&bad, "empresa", m.Empresa, MaxNombre, "")
	texto.Check(&bad, "tecnico", m.Tecnico, MaxNombre, "")
	texto.Check(&bad, "usuario", m.Usuario, MaxNombre, "")
	texto.Check(&bad, "observaciones", m.Observaciones, MaxObservaciones, "\n\r\t")
	var ok bool
	if m.Tipo, ok = ParseTipo(tipo); !ok && tipo != "" {
		bad.Add("tipo", "El tipo debe ser preventivo o correctivo.", e.Tipo)
	}
	var err error
	if m.Fecha, err = fecha.Parse(dia); err != nil && dia != "" {
		bad.Add("fecha", "La fecha debe ser un día real con la forma AAAA-MM-DD.", e.Fecha)
	}
	return m, bad.Err()
}
