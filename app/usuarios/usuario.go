// Package usuarios keeps the accounts and the sessions: who may come in, as whom, and until when.
package usuarios

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"siglab/app/errs"
	"siglab/app/texto"
)

// Limits of the fields. Source: contract, "Shapes"; 72 bytes is what bcrypt reads of a password.
const (
	MaxNombreCompleto = 100 // characters
	MinUsername       = 3   // characters
	MaxUsername       = 50  // characters
	MinPassword       = 8   // characters
	MaxPassword       = 72  // bytes
)

// Rol is what an account may do.
type Rol string

// The roles: an admin may also remove machines, read metrics and make other admins.
const (
	Admin Rol = "admin"
	Comun Rol = "usuario"
)

// Usuario is one account.
type Usuario struct {
	NombreCompleto string
	Username       string // as registered; unique by clave.Of
	Rol            Rol
}

// Session is a login that holds. It travels in a signed token, so it is known without asking any store.
type Session struct {
	ID      string
	Usuario Usuario
	Began   time.Time
	Expires time.Time
}

// Activa is a session as the list of active users shows it.
type Activa struct {
	Session
	LastSeen time.Time
}

// Registro is a registration as a client sends it.
type Registro struct {
	NombreCompleto, Username, Password, Rol string
}

// New checks a registration and returns the account. An Invalid error names each field that breaks a rule; it never holds
// the password.
func New(r Registro) (Usuario, error) {
	var bad errs.Fields
	u := Usuario{
		NombreCompleto: texto.Clean(r.NombreCompleto),
		Username:       texto.Clean(r.Username),
		Rol:            Rol(strings.ToLower(strings.TrimSpace(r.Rol))),
	}
	texto.Required(&bad, "nombre_completo", u.NombreCompleto)
	texto.Check(&bad, "nombre_completo", u.NombreCompleto, MaxNombreCompleto, "")
	if n := utf8.RuneCountInString(u.Username); n < MinUsername || n > MaxUsername {
		bad.Add("username", fmt.Sprintf("El nombre de usuario debe tener de %d a %d caracteres.", MinUsername, MaxUsername), r.Username)
	} else {
		texto.Check(&bad, "username", u.Username, MaxUsername, "")
	}
	if utf8.RuneCountInString(r.Password) < MinPassword || len(r.Password) > MaxPassword {
		bad.Add("password", fmt.Sprintf("La contraseña debe tener al menos %d caracteres y no más de %d bytes.", MinPassword, MaxPassword), nil)
	}
	switch u.Rol {
	case "":
		u.Rol = Comun
	case Admin, Comun:
	default:
		bad.Add("rol", "El rol debe ser admin o usuario.", r.Rol)
	}
	return u, bad.Err()
}
