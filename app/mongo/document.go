package mongo

import (
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"siglab/app/fecha"
	"siglab/app/mantenimientos"
)

// documento is a record as it is written. What is not known is null, as in the documents of the old backend.
type documento struct {
	ID            any     `bson:"_id"`
	MaquinaID     int64   `bson:"maquina_id"`
	CodigoMaquina string  `bson:"codigo_maquina"`
	Empresa       string  `bson:"empresa"`
	Tecnico       string  `bson:"tecnico"`
	Tipo          *string `bson:"tipo"`
	Fecha         string  `bson:"fecha"`
	Observaciones string  `bson:"observaciones"`
	Usuario       *string `bson:"usuario"`
}

func encode(id bson.ObjectID, m mantenimientos.Mantenimiento) documento {
	return documento{
		ID: id, MaquinaID: m.MaquinaID, CodigoMaquina: m.CodigoMaquina, Empresa: m.Empresa, Tecnico: m.Tecnico,
		Tipo: optional(string(m.Tipo)), Fecha: string(m.Fecha), Observaciones: m.Observaciones, Usuario: optional(m.Usuario),
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// decode reads a document, whoever wrote it: a field that is missing or of a kind that cannot be shown is empty.
func decode(raw bson.Raw) mantenimientos.Mantenimiento {
	maquina, _ := raw.Lookup("maquina_id").AsInt64OK()
	tipo, _ := mantenimientos.ParseTipo(text(raw.Lookup("tipo")))
	dia, _ := day(raw.Lookup("fecha"))
	return mantenimientos.Mantenimiento{
		ID: text(raw.Lookup("_id")), MaquinaID: maquina, CodigoMaquina: text(raw.Lookup("codigo_maquina")),
		Empresa: text(raw.Lookup("empresa")), Tecnico: text(raw.Lookup("tecnico")), Tipo: tipo, Fecha: fecha.Fecha(dia),
		Observaciones: text(raw.Lookup("observaciones")), Usuario: text(raw.Lookup("usuario")),
	}
}

// text returns a value as a person would write it, or "".
func text(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeString:
		return v.StringValue()
	case bson.TypeObjectID:
		return v.ObjectID().Hex()
	case bson.TypeInt32, bson.TypeInt64:
		return strconv.FormatInt(v.AsInt64(), 10)
	case bson.TypeDouble:
		return strconv.FormatFloat(v.Double(), 'f', -1, 64)
	case bson.TypeBoolean:
		return strconv.FormatBool(v.Boolean())
	case bson.TypeDateTime:
		return v.Time().UTC().Format(time.RFC3339)
	case 0, bson.TypeNull, bson.TypeUndefined:
		return ""
	}
	return v.String()
}

// day returns a value's calendar day, and true when it is one. Dates are read in UTC: the old backend's driver wrote what was typed
// as if it were. Of a text with a time after the day, the day counts; any other text comes back as it is.
func day(v bson.RawValue) (string, bool) {
	s := strings.TrimSpace(text(v))
	if s == "" {
		return "", true
	}
	start := s
	if len(s) > len(time.DateOnly) && (s[len(time.DateOnly)] == 'T' || s[len(time.DateOnly)] == ' ') {
		start = s[:len(time.DateOnly)]
	}
	if d, err := fecha.Parse(start); err == nil {
		return string(d), true
	}
	return s, false
}
