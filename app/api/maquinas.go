package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"siglab/app/errs"
	"siglab/app/idempotency"
	"siglab/app/maquinas"
	"siglab/app/texto"
)

// Maquina is a machine as it is answered.
type Maquina struct {
	Codigo  string  `json:"codigo" doc:"Código con el que se registró." example:"LAB1-PC-01"`
	Tipo    string  `json:"tipo" enum:"PC,IMP" doc:"PC o impresora." example:"PC"`
	Estado  string  `json:"estado" enum:"operativa,en mantenimiento,fuera de servicio" doc:"Condición en que está." example:"operativa"`
	Area    string  `json:"area" doc:"Dónde está." example:"Laboratorio 1"`
	Fecha   string  `json:"fecha" format:"date" doc:"Día del registro." example:"2024-03-15"`
	Usuario *string `json:"usuario" doc:"Persona a la que está asignada; null si a nadie." example:"Ana Torres"`
}

func maquinaOf(m maquinas.Maquina) Maquina {
	return Maquina{Codigo: m.Codigo, Tipo: string(m.Tipo), Estado: string(m.Estado), Area: m.Area, Fecha: string(m.Fecha), Usuario: orNull(m.Usuario)}
}

// orNull returns nil for an empty text.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// MaquinaNueva is a machine as a client sends it to register it.
type MaquinaNueva struct {
	_       struct{} `additionalProperties:"true"`
	Codigo  string   `json:"codigo_equipo" doc:"Hasta 50 caracteres, sin espacios ni los signos / # ? & +; único sin distinguir mayúsculas." example:"LAB1-PC-01"`
	Tipo    string   `json:"tipo_equipo" doc:"PC, COMPUTADORA, IMP o IMPRESORA, en mayúsculas o minúsculas." example:"PC"`
	Estado  string   `json:"estado_actual" doc:"operativa, en mantenimiento o fuera de servicio; también operativo, mantenimiento, dañado o dañada." example:"operativa"`
	Area    string   `json:"area" doc:"Hasta 100 caracteres." example:"Laboratorio 1"`
	Fecha   string   `json:"fecha" format:"date" doc:"Día del registro, AAAA-MM-DD." example:"2024-03-15"`
	Usuario *string  `json:"usuario,omitempty" required:"false" nullable:"true" doc:"Persona a la que se asigna, hasta 100 caracteres." example:"Ana Torres"`
	usuario string
}

func (m *MaquinaNueva) fields() []field {
	return []field{{"codigo_equipo", &m.Codigo}, {"tipo_equipo", &m.Tipo}, {"estado_actual", &m.Estado}, {"area", &m.Area},
		{"fecha", &m.Fecha}, {"usuario", &m.usuario}}
}

// MaquinaCambio is a machine as a client sends it to change it.
type MaquinaCambio struct {
	_       struct{} `additionalProperties:"true"`
	Codigo  string   `json:"codigo_equipo" doc:"La máquina que cambia." example:"LAB1-PC-01"`
	Tipo    *string  `json:"tipo_equipo,omitempty" required:"false" nullable:"true" doc:"Vacío o ausente: queda como está." example:"PC"`
	Estado  *string  `json:"estado_actual,omitempty" required:"false" nullable:"true" doc:"Vacío o ausente: queda como está." example:"en mantenimiento"`
	Area    *string  `json:"area,omitempty" required:"false" nullable:"true" doc:"Vacío o ausente: queda como está." example:"Laboratorio 2"`
	Fecha   *string  `json:"fecha,omitempty" required:"false" nullable:"true" doc:"Vacío o ausente: queda como está." example:"2024-03-15"`
	Usuario *string  `json:"usuario,omitempty" required:"false" nullable:"true" doc:"Vacío o ausente: queda como está." example:"Ana Torres"`

	tipo, estado, area, fecha, usuario string
}

func (m *MaquinaCambio) fields() []field {
	return []field{{"codigo_equipo", &m.Codigo}, {"tipo_equipo", &m.tipo}, {"estado_actual", &m.estado}, {"area", &m.area},
		{"fecha", &m.fecha}, {"usuario", &m.usuario}}
}

// Hecho is the answer to a write that names a machine.
type Hecho struct {
	Mensaje string `json:"mensaje" doc:"Qué se hizo." example:"Máquina agregada correctamente."`
	Codigo  string `json:"codigo" doc:"Código de la máquina como se registró." example:"LAB1-PC-01"`
}

// Mensaje is the answer to a write that has nothing else to say.
type Mensaje struct {
	Mensaje string `json:"mensaje" doc:"Qué se hizo." example:"Operación realizada."`
}

// ConsultaMaquinas are the parameters of a list of machines. All are texts here: what they may hold is checked, and said, by the domain.
type ConsultaMaquinas struct {
	Limite string `query:"limite" doc:"Máquinas en la página, de 1 a 10000; sin él, 10000." example:"50"`
	Cursor string `query:"cursor" doc:"Dónde empieza la página; viene en la cabecera Link de la anterior."`
	Orden  string `query:"orden" doc:"codigo, tipo, estado, area o fecha, seguido de :asc o :desc." example:"codigo:asc"`
	Tipo   string `query:"tipo" doc:"Solo las de este tipo." example:"PC"`
	Estado string `query:"estado" doc:"Solo las que están en esta condición." example:"operativa"`
	Area   string `query:"area" doc:"Solo las de esta área, escrita igual." example:"Laboratorio 1"`
	Desde  string `query:"desde" doc:"Registradas este día o después, AAAA-MM-DD." example:"2020-01-01"`
	Hasta  string `query:"hasta" doc:"Registradas este día o antes, AAAA-MM-DD." example:"2030-12-31"`
	Buscar string `query:"buscar" doc:"Solo las que tienen este texto en el código, sin distinguir mayúsculas." example:"LAB1"`
}

func (c ConsultaMaquinas) consulta() (maquinas.Consulta, error) {
	n, err := limite(c.Limite, maquinas.MaxLimite)
	return maquinas.Consulta{Limite: n, Cursor: c.Cursor, Orden: c.Orden, Tipo: c.Tipo, Estado: c.Estado, Area: c.Area,
		Desde: c.Desde, Hasta: c.Hasta, Texto: c.Buscar}, err
}

type listarInput struct {
	ConsultaMaquinas
	IfNoneMatch string `header:"If-None-Match" doc:"ETag de la lista que el cliente ya tiene."`
}

type buscarInput struct {
	Codigo  string `query:"codigo" doc:"La máquina de este código, en cualquier caja." example:"LAB1-PC-01"`
	Termino string `query:"termino" doc:"Las máquinas que tienen este texto en el código." example:"LAB1"`
	ConsultaMaquinas
	IfNoneMatch string `header:"If-None-Match" doc:"ETag de lo que el cliente ya tiene."`
}

type agregarInput struct {
	Key string `header:"Idempotency-Key" doc:"De 1 a 255 caracteres ASCII visibles: un reintento con la misma clave no agrega nada y recibe la misma respuesta." example:"6f1d8c1e-alta-1"`
}

type actualizarInput struct {
	IfMatch string `header:"If-Match" doc:"ETag de la máquina que se leyó: si cambió desde entonces, 412."`
}

type eliminarInput struct {
	Codigo  string `query:"codigo" required:"true" doc:"La máquina que se elimina." example:"LAB1-PC-01"`
	IfMatch string `header:"If-Match" doc:"ETag de la máquina que se leyó: si cambió desde entonces, 412."`
}

type eliminarPathInput struct {
	Codigo  string `path:"codigo" doc:"La máquina que se elimina." example:"LAB1-PC-01"`
	IfMatch string `header:"If-Match" doc:"ETag de la máquina que se leyó: si cambió desde entonces, 412."`
}

func exampleMaquina() Maquina {
	usuario := "Ana Torres"
	return Maquina{Codigo: "LAB1-PC-01", Tipo: "PC", Estado: "operativa", Area: "Laboratorio 1", Fecha: "2024-03-15", Usuario: &usuario}
}

const listarPath = "/api/maquinas/listar"

func (a *API) registerMaquinas() {
	a.listar = operation{
		id: "listar-maquinas", method: http.MethodGet, path: listarPath, tag: tagMaquinas,
		summary:     "Listar las máquinas",
		description: "El cuerpo es siempre la lista; el total y la página siguiente van en las cabeceras X-Total-Count y Link.",
		access:      session, unlimited: true, endless: true, list: true,
		answer: []Maquina{}, example: []Maquina{exampleMaquina()}, errors: []int{http.StatusBadRequest},
	}
	handle(a, a.listar, func(ctx context.Context, x *exchange, in *listarInput) error {
		c, err := in.consulta()
		if err != nil {
			return err
		}
		return x.listMaquinas(ctx, listarPath, c)
	})

	const buscar = "/api/maquinas/buscar"
	handle(a, operation{
		id: "buscar-maquinas", method: http.MethodGet, path: buscar, tag: tagMaquinas,
		summary:     "Buscar una máquina por código, o varias por parte del código",
		description: "Con codigo responde una máquina; con termino, la lista de las que lo contienen; sin ninguno, lo mismo que listar.",
		access:      session, unlimited: true, list: true,
		answer: oneOrMany{}, example: exampleMaquina(), errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, func(ctx context.Context, x *exchange, in *buscarInput) error {
		if in.Codigo != "" {
			return x.oneMaquina(ctx, in.Codigo)
		}
		c, err := in.consulta()
		if err != nil {
			return err
		}
		if in.Termino == "" {
			return x.listMaquinas(ctx, buscar, c)
		}
		c.Texto = in.Termino
		return x.searchMaquinas(ctx, buscar, c)
	})

	handleBody(a, operation{
		id: "agregar-maquina", method: http.MethodPost, path: "/api/maquinas/agregar", tag: tagMaquinas,
		summary: "Agregar una máquina", access: session, status: http.StatusCreated,
		request: MaquinaNueva{Codigo: "LAB1-PC-01", Tipo: "PC", Estado: "operativa", Area: "Laboratorio 1", Fecha: "2024-03-15", Usuario: new("Ana Torres")},
		answer:  Hecho{}, example: Hecho{Mensaje: "Máquina agregada correctamente.", Codigo: "LAB1-PC-01"},
		headers: []string{"ETag", "Location"}, errors: []int{http.StatusConflict},
	}, func(ctx context.Context, x *exchange, in *agregarInput, b *MaquinaNueva, raw []byte) error {
		key, err := x.idempotencyKey("POST /api/maquinas/agregar", raw)
		if err != nil {
			return err
		}
		m, err := a.cfg.Maquinas.Add(ctx, maquinas.Entrada{Codigo: b.Codigo, Tipo: b.Tipo, Estado: b.Estado, Area: b.Area, Fecha: b.Fecha, Usuario: b.usuario}, key)
		if err != nil {
			return err
		}
		x.Header()["Etag"] = []string{m.ETag()}
		x.Header()["Location"] = []string{buscar + "?codigo=" + url.QueryEscape(m.Codigo)}
		return x.respond(http.StatusCreated, Hecho{Mensaje: "Máquina agregada correctamente.", Codigo: m.Codigo})
	})

	handleBody(a, operation{
		id: "actualizar-maquina", method: http.MethodPut, path: "/api/maquinas/actualizar", tag: tagMaquinas,
		summary:     "Actualizar una máquina",
		description: "Un campo vacío o ausente queda como está.",
		access:      session,
		request:     MaquinaCambio{Codigo: "LAB1-PC-01", Estado: new("en mantenimiento")},
		answer:      Hecho{}, example: Hecho{Mensaje: "Máquina actualizada correctamente.", Codigo: "LAB1-PC-01"},
		headers: []string{"ETag"}, errors: []int{http.StatusNotFound, http.StatusPreconditionFailed},
	}, func(ctx context.Context, x *exchange, in *actualizarInput, b *MaquinaCambio, _ []byte) error {
		var bad errs.Fields
		codigo := texto.Clean(b.Codigo)
		texto.Required(&bad, "codigo_equipo", codigo)
		if err := bad.Err(); err != nil {
			return err
		}
		pre, err := x.precondition()
		if err != nil {
			return err
		}
		m, err := a.cfg.Maquinas.Update(ctx, maquinas.Entrada{Codigo: codigo, Tipo: b.tipo, Estado: b.estado, Area: b.area, Fecha: b.fecha, Usuario: b.usuario}, pre)
		if err != nil {
			return err
		}
		x.Header()["Etag"] = []string{m.ETag()}
		return x.respond(http.StatusOK, Hecho{Mensaje: "Máquina actualizada correctamente.", Codigo: m.Codigo})
	})

	eliminar := operation{
		id: "eliminar-maquina", method: http.MethodDelete, path: "/api/maquinas/eliminar", tag: tagMaquinas,
		summary:     "Eliminar una máquina y sus mantenimientos",
		description: "Solo para administradores.",
		access:      admin,
		answer:      Mensaje{}, example: Mensaje{Mensaje: "Máquina eliminada correctamente."},
		errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed},
	}
	handle(a, eliminar, func(ctx context.Context, x *exchange, in *eliminarInput) error {
		if strings.TrimSpace(in.Codigo) == "" {
			return errMalformed("Indique el código de la máquina en el parámetro codigo.")
		}
		return x.deleteMaquina(ctx, in.Codigo)
	})
	eliminar.id, eliminar.path = "eliminar-maquina-por-ruta", "/api/maquinas/eliminar/{codigo}"
	eliminar.summary = "Eliminar una máquina, con el código en la ruta"
	handle(a, eliminar, func(ctx context.Context, x *exchange, in *eliminarPathInput) error {
		return x.deleteMaquina(ctx, in.Codigo)
	})
}

// oneOrMany documents an answer that is one machine or a list of them.
type oneOrMany struct{}

// oneMaquina answers one machine, or 304 when the client has it.
func (x *exchange) oneMaquina(ctx context.Context, codigo string) error {
	codigo = texto.Clean(codigo)
	n := x.api.near
	o := n.one(ctx, codigo)
	if o == nil {
		var f maquinas.Ficha
		err := x.api.limit.do(ctx, ofMachines, func() (err error) {
			f, err = x.api.cfg.Maquinas.ByCodigo(ctx, codigo)
			return err
		})
		if err != nil {
			return err
		}
		o = newOne(f)
		n.putOne(codigo, o)
	}
	h := x.Header()
	h["Etag"] = o.etag
	h["Cache-Control"] = x.api.lists.cacheControl
	h.Add("Vary", "Authorization, Cookie")
	if found, ok := matches(x.r.Header["If-None-Match"], o.etag[0], true); found && ok {
		x.WriteHeader(http.StatusNotModified)
		return nil
	}
	// Its tag is also what If-Match names, so the bytes must not depend on the coding: they are never compressed.
	x.sendPlain(http.StatusOK, "application/json", o.body)
	return nil
}

// searchMaquinas answers the machines whose code contains a term.
func (x *exchange) searchMaquinas(ctx context.Context, path string, c maquinas.Consulta) error {
	q, err := maquinas.NewQuery(c)
	if err != nil {
		return err
	}
	v := consultaValues(c)
	v.Del("buscar")
	v.Set("termino", c.Texto)
	var p maquinas.Pagina
	err = x.api.limit.do(ctx, ofMachines, func() (err error) {
		p, err = x.api.cfg.Maquinas.List(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	rows := make([]Maquina, len(p.Items))
	for i, m := range p.Items {
		rows[i] = maquinaOf(m)
	}
	x.answer(newList(rows, p.Total, nextURL(path, v, p.Next)))
	return nil
}

func (x *exchange) deleteMaquina(ctx context.Context, codigo string) error {
	pre, err := x.precondition()
	if err != nil {
		return err
	}
	if err := x.api.cfg.Maquinas.Delete(ctx, texto.Clean(codigo), pre); err != nil {
		return err
	}
	return x.respond(http.StatusOK, Mensaje{Mensaje: "Máquina eliminada correctamente."})
}

// precondition reads If-Match: nil when there is none. Only a strong tag matches (RFC 9110, 13.1.1).
func (x *exchange) precondition() (maquinas.Precondition, error) {
	list, given := x.r.Header["If-Match"]
	if !given {
		return nil, nil
	}
	if _, ok := matches(list, "", false); !ok {
		return nil, errMalformed("La cabecera If-Match debe ser * o una lista de ETags entre comillas.")
	}
	return func(m maquinas.Maquina) bool {
		found, _ := matches(list, m.ETag(), false)
		return found
	}, nil
}

// maxIdempotencyKey is the longest key, in bytes. Source: the header's draft leaves it to the server.
const maxIdempotencyKey = 255

// idempotencyKey reads Idempotency-Key: nil when there is none. The route is part of the key, whichever alias was called.
func (x *exchange) idempotencyKey(route string, raw []byte) (*idempotency.Key, error) {
	list, given := x.r.Header["Idempotency-Key"]
	if !given {
		return nil, nil
	}
	odd := func(c rune) bool { return c < '!' || c > '~' }
	if len(list) != 1 || list[0] == "" || len(list[0]) > maxIdempotencyKey || strings.ContainsFunc(list[0], odd) {
		return nil, errMalformed("La cabecera Idempotency-Key debe tener de 1 a 255 caracteres ASCII visibles.")
	}
	return idempotency.New(x.user(), route, list[0], raw), nil
}
