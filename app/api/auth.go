package api

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"siglab/app/errs"
	"siglab/app/texto"
	"siglab/app/usuarios"
)

// Usuario is an account as it is answered.
type Usuario struct {
	NombreCompleto string `json:"nombre_completo" doc:"Nombre de la persona." example:"Ana Torres"`
	Username       string `json:"username" doc:"Nombre de usuario." example:"ana.torres"`
	Rol            string `json:"rol" enum:"admin,usuario" doc:"Lo que la cuenta puede hacer." example:"usuario"`
}

func usuarioOf(u usuarios.Usuario) Usuario {
	return Usuario{NombreCompleto: u.NombreCompleto, Username: u.Username, Rol: string(u.Rol)}
}

// Credenciales are what a login sends.
type Credenciales struct {
	_        struct{} `additionalProperties:"true"`
	Username string   `json:"username" doc:"Nombre de usuario, en cualquier caja." example:"ana.torres"`
	Password string   `json:"password" format:"password" doc:"Contraseña." example:"una frase larga"`
}

func (c *Credenciales) fields() []field {
	return []field{{"username", &c.Username}, {"password", &c.Password}}
}

// Sesion is the answer to a login.
type Sesion struct {
	Mensaje string  `json:"mensaje" doc:"Qué se hizo." example:"Inicio de sesión exitoso."`
	Token   string  `json:"token" doc:"Para la cabecera Authorization: Bearer; la cookie lleva el mismo." example:"eyJhbGciOiJIUzI1NiJ9.e30.firma"`
	Usuario Usuario `json:"usuario"`
}

// Registro is what a registration sends.
type Registro struct {
	_              struct{} `additionalProperties:"true"`
	NombreCompleto string   `json:"nombre_completo" doc:"Hasta 100 caracteres." example:"Ana Torres"`
	Username       string   `json:"username" doc:"De 3 a 50 caracteres; único sin distinguir mayúsculas." example:"ana.torres"`
	Password       string   `json:"password" format:"password" doc:"De 8 caracteres a 72 bytes." example:"una frase larga"`
	Rol            *string  `json:"rol,omitempty" required:"false" nullable:"true" doc:"usuario, como sin él, o admin, que solo otro admin puede dar." example:"usuario"`
	rol            string
}

func (r *Registro) fields() []field {
	return []field{{"nombre_completo", &r.NombreCompleto}, {"username", &r.Username}, {"password", &r.Password}, {"rol", &r.rol}}
}

// Activos are the people at work.
type Activos struct {
	Usuarios []Activo `json:"usuarios_activos" nullable:"false" doc:"Cada persona una vez, la vista más recientemente primero."`
}

// Activo is one person at work.
type Activo struct {
	Username        string `json:"username" doc:"Nombre de usuario." example:"ana.torres"`
	NombreCompleto  string `json:"nombre_completo" doc:"Nombre de la persona." example:"Ana Torres"`
	Rol             string `json:"rol" enum:"admin,usuario" doc:"Lo que la cuenta puede hacer." example:"usuario"`
	Desde           string `json:"desde" format:"date-time" doc:"Cuándo inició la sesión, en UTC." example:"2024-04-02T13:00:00Z"`
	UltimaActividad string `json:"ultima_actividad" format:"date-time" doc:"Cuándo se la vio por última vez, al minuto." example:"2024-04-02T13:45:00Z"`
}

// maxLoginName is the longest user name that a login looks up, in characters: more than any account's, so that a huge one
// becomes no key of a counter.
const maxLoginName = 255

type nothing struct{}

func loginOperation() operation {
	return operation{
		id: "login", method: http.MethodPost, path: "/api/auth/login", tag: tagAuth,
		summary:     "Iniciar sesión",
		description: "Responde el token y pone la misma sesión en una cookie HttpOnly.",
		access:      anyone, unlimited: true,
		request: Credenciales{Username: "ana.torres", Password: "una frase larga"},
		answer:  Sesion{}, example: Sesion{Mensaje: "Inicio de sesión exitoso.", Token: "eyJhbGciOiJIUzI1NiJ9.e30.firma", Usuario: exampleUsuario()},
		headers: []string{"Set-Cookie"}, errors: []int{http.StatusUnauthorized, http.StatusTooManyRequests},
	}
}

func registerOperation() operation {
	return operation{
		id: "register", method: http.MethodPost, path: "/api/auth/register", tag: tagAuth,
		summary: "Registrar una cuenta", description: "Solo un administrador puede registrar a otro administrador.",
		access: optional, unlimited: true, status: http.StatusCreated,
		request: Registro{NombreCompleto: "Ana Torres", Username: "ana.torres", Password: "una frase larga"},
		answer:  Mensaje{}, example: Mensaje{Mensaje: "Usuario registrado correctamente."},
		errors: []int{http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests},
	}
}

func logoutOperation() operation {
	return operation{
		id: "logout", method: http.MethodPost, path: "/api/auth/logout", tag: tagAuth,
		summary: "Cerrar la sesión", description: "Todas las réplicas rechazan el token desde entonces.",
		access: ownSession, answer: Mensaje{}, example: Mensaje{Mensaje: "Sesión cerrada correctamente."}, headers: []string{"Set-Cookie"},
	}
}

func exampleUsuario() Usuario {
	return Usuario{NombreCompleto: "Ana Torres", Username: "ana.torres", Rol: "usuario"}
}

func (a *API) registerAuth() {
	handleBody(a, loginOperation(), a.login)
	handleBody(a, registerOperation(), a.register)
	handle(a, logoutOperation(), a.logout)
	handle(a, operation{
		id: "usuarios-activos", method: http.MethodGet, path: "/api/auth/usuarios/activos", tag: tagAuth,
		summary: "Usuarios con una sesión abierta", access: session, answer: Activos{},
		example: Activos{Usuarios: []Activo{{Username: "ana.torres", NombreCompleto: "Ana Torres", Rol: "usuario",
			Desde: "2024-04-02T13:00:00Z", UltimaActividad: "2024-04-02T13:45:00Z"}}},
	}, func(ctx context.Context, x *exchange, _ *nothing) error {
		list, err := a.cfg.Usuarios.Active(ctx)
		if err != nil {
			return err
		}
		out := Activos{Usuarios: make([]Activo, len(list))}
		for i, s := range list {
			u := s.Usuario
			out.Usuarios[i] = Activo{Username: u.Username, NombreCompleto: u.NombreCompleto, Rol: string(u.Rol),
				Desde: instant(s.Began), UltimaActividad: instant(s.LastSeen)}
		}
		return x.respond(http.StatusOK, out)
	})
}

// instant writes a time as every answer does: RFC 3339 in UTC, to the second.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (a *API) login(ctx context.Context, x *exchange, _ *nothing, b *Credenciales, _ []byte) error {
	var bad errs.Fields
	name := texto.Clean(b.Username)
	texto.Required(&bad, "username", name)
	texto.Required(&bad, "password", b.Password)
	if utf8.RuneCountInString(name) > maxLoginName {
		bad.Add("username", "El nombre de usuario es demasiado largo.", nil)
	}
	if err := bad.Err(); err != nil {
		return err
	}
	s, token, err := a.cfg.Usuarios.Login(ctx, name, b.Password, a.client(x.r))
	if err != nil {
		return err
	}
	x.session = &s
	x.setCookie(token, int(s.Expires.Sub(a.cfg.Now()).Seconds()))
	return x.respond(http.StatusOK, Sesion{Mensaje: "Inicio de sesión exitoso.", Token: token, Usuario: usuarioOf(s.Usuario)})
}

func (a *API) register(ctx context.Context, x *exchange, _ *nothing, b *Registro, _ []byte) error {
	err := a.cfg.Usuarios.Register(ctx, usuarios.Registro{NombreCompleto: b.NombreCompleto, Username: b.Username, Password: b.Password, Rol: b.rol},
		x.session, a.client(x.r))
	if err != nil {
		return err
	}
	return x.respond(http.StatusCreated, Mensaje{Mensaje: "Usuario registrado correctamente."})
}

func (a *API) logout(ctx context.Context, x *exchange, _ *nothing) error {
	if err := a.cfg.Usuarios.Logout(ctx, *x.session); err != nil {
		return err
	}
	x.setCookie("", -1)
	return x.respond(http.StatusOK, Mensaje{Mensaje: "Sesión cerrada correctamente."})
}
