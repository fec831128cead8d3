// Package maquinas is the register of the university's computers and printers: what a machine is, the rules its fields obey,
// and the service that lists, adds, changes and removes machines.
package maquinas

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/texto"
)

// Limits of the fields, in characters.
const (
	MaxCodigo  = 50
	MaxArea    = 100
	MaxUsuario = 100
)

// Tipo is what kind of machine it is.
type Tipo string

// The kinds of machine.
const (
	PC  Tipo = "PC"
	IMP Tipo = "IMP"
)

// Tipos lists every Tipo.
var Tipos = [...]Tipo{PC, IMP}

// ParseTipo accepts PC, COMPUTADORA, IMP and IMPRESORA in any case. Source: contract, "Shapes".
func ParseTipo(s string) (Tipo, bool) {
	switch clave.Of(strings.TrimSpace(s)) {
	case "pc", "computadora":
		return PC, true
	case "imp", "impresora":
		return IMP, true
	}
	return "", false
}

// Estado is the condition a machine is in.
type Estado string

// The conditions.
const (
	Operativa       Estado = "operativa"
	EnMantenimiento Estado = "en mantenimiento"
	FueraDeServicio Estado = "fuera de servicio"
)

// Estados lists every Estado.
var Estados = [...]Estado{Operativa, EnMantenimiento, FueraDeServicio}

// ParseEstado accepts the three conditions and the old clients' words for them, in any case. Source: contract, "Shapes".
func ParseEstado(s string) (Estado, bool) {
	switch clave.Of(strings.TrimSpace(s)) {
	case "operativa", "operativo":
		return Operativa, true
	case "en mantenimiento", "mantenimiento":
		return EnMantenimiento, true
	case "fuera de servicio", "dañado", "dañada":
		return FueraDeServicio, true
	}
	return "", false
}

// Maquina is one registered machine.
type Maquina struct {
	ID      int64  // never used again, so a code registered anew does not meet the old machine's records
	Codigo  string // as first typed; unique by clave.Of
	Tipo    Tipo
	Estado  Estado
	Area    string
	Fecha   fecha.Fecha // of registration
	Usuario string      // the person it is assigned to; empty is nobody
	Version int64       // 1 when registered, one more with each change
}

// ETag identifies this state of this machine, quotes included, as HTTP has it (RFC 9110, 8.8.3).
func (m Maquina) ETag() string {
	return `"` + strconv.FormatInt(m.ID, 36) + "-" + strconv.FormatInt(m.Version, 36) + `"`
}

// Entrada is a machine as a client sends it; the fields' names in errors are the contract's.
type Entrada struct {
	Codigo  string // codigo_equipo
	Tipo    string // tipo_equipo
	Estado  string // estado_actual
	Area    string // area
	Fecha   string // fecha
	Usuario string // usuario
}

// New checks a registration and returns the machine, without ID. Every field but Usuario must be there; an Invalid error
// names each one that breaks a rule.
func New(e Entrada) (Maquina, error) {
	var bad errs.Fields
	var m Maquina
	m.Codigo = texto.Clean(e.Codigo)
	if why := codigoProblem(m.Codigo); why != "" {
		bad.Add("codigo_equipo", why, e.Codigo)
	}
	texto.Required(&bad, "tipo_equipo", texto.Clean(e.Tipo))
	texto.Required(&bad, "estado_actual", texto.Clean(e.Estado))
	texto.Required(&bad, "area", texto.Clean(e.Area))
	texto.Required(&bad, "fecha", texto.Clean(e.Fecha))
	m.set(e, &bad)
	return m, bad.Err()
}

// Change returns m with the fields that e fills; an empty field keeps what is there. Source: contract, "Shapes".
func (m Maquina) Change(e Entrada) (Maquina, error) {
	var bad errs.Fields
	m.set(e, &bad)
	return m, bad.Err()
}

// set checks and takes over the fields that are not empty.
func (m *Maquina) set(e Entrada, bad *errs.Fields) {
	var ok bool
	if texto.Clean(e.Tipo) != "" {
		if m.Tipo, ok = ParseTipo(e.Tipo); !ok {
			bad.Add("tipo_equipo", "El tipo debe ser PC, COMPUTADORA, IMP o IMPRESORA.", e.Tipo)
		}
	}
	if texto.Clean(e.Estado) != "" {
		if m.Estado, ok = ParseEstado(e.Estado); !ok {
			bad.Add("estado_actual", "El estado debe ser operativa, en mantenimiento o fuera de servicio.", e.Estado)
		}
	}
	if area := texto.Clean(e.Area); area != "" {
		m.Area = area
		texto.Check(bad, "area", area, MaxArea, "")
	}
	if dia := texto.Clean(e.Fecha); dia != "" {
		var err error
		if m.Fecha, err = fecha.Parse(dia); err != nil {
			bad.Add("fecha", "La fecha debe ser un día real con la forma AAAA-MM-DD.", e.Fecha)
		}
	}
	if usuario := texto.Clean(e.Usuario); usuario != "" {
		m.Usuario = usuario
		texto.Check(bad, "usuario", usuario, MaxUsuario, "")
	}
}

// codigoProblem says why a code is refused, or "". Source: contract, "Shapes"; "." and ".." are refused too, because a path
// that ends in them names another resource.
func codigoProblem(c string) string {
	switch {
	case c == "":
		return "El campo codigo_equipo es obligatorio."
	case utf8.RuneCountInString(c) > MaxCodigo:
		return fmt.Sprintf("El código admite hasta %d caracteres.", MaxCodigo)
	case c == "." || c == "..",
		strings.ContainsAny(c, "/#?&+"),
		strings.ContainsFunc(c, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return "El código no admite espacios, caracteres de control ni los signos / # ? & +."
	}
	return ""
}
