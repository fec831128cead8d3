package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"siglab/app/errs"
	"siglab/app/mantenimientos"
	"siglab/app/texto"
)

// Mantenimiento is a record as it is answered.
type Mantenimiento struct {
	ID            string  `json:"_id" doc:"Identificador del registro." example:"65f4a1b2c3d4e5f6a7b8c9d0"`
	CodigoMaquina string  `json:"codigo_maquina" doc:"Código de la máquina como se registró." example:"LAB1-PC-01"`
	Empresa       string  `json:"empresa" doc:"Quién hizo el trabajo." example:"Soporte Universitario"`
	Tecnico       string  `json:"tecnico" doc:"Persona que lo hizo." example:"Luis Vera"`
	Tipo          *string `json:"tipo" enum:"preventivo,correctivo" doc:"null en registros antiguos que no lo tienen." example:"preventivo"`
	Fecha         string  `json:"fecha" format:"date" doc:"Día del trabajo." example:"2024-04-02"`
	Observaciones string  `json:"observaciones" doc:"Qué se hizo." example:"Limpieza interna y cambio de pasta térmica."`
	Usuario       *string `json:"usuario" doc:"Quién lo registró; null si no se sabe." example:"Ana Torres"`
}

func mantenimientoOf(m mantenimientos.Mantenimiento) Mantenimiento {
	return Mantenimiento{ID: m.ID, CodigoMaquina: m.CodigoMaquina, Empresa: m.Empresa, Tecnico: m.Tecnico, Tipo: orNull(string(m.Tipo)),
		Fecha: string(m.Fecha), Observaciones: m.Observaciones, Usuario: orNull(m.Usuario)}
}

func mantenimientosOf(list []mantenimientos.Mantenimiento) []Mantenimiento {
	rows := make([]Mantenimiento, len(list))
	for i, m := range list {
		rows[i] = mantenimientoOf(m)
	}
	return rows
}

// MantenimientoNuevo is a record as a client sends it.
type MantenimientoNuevo struct {
	_             struct{} `additionalProperties:"true"`
	CodigoMaquina string   `json:"codigo_maquina" doc:"Código de una máquina registrada, en cualquier caja." example:"LAB1-PC-01"`
	Empresa       string   `json:"empresa" doc:"Hasta 100 caracteres." example:"Soporte Universitario"`
	Tecnico       string   `json:"tecnico" doc:"Hasta 100 caracteres." example:"Luis Vera"`
	Tipo          string   `json:"tipo" doc:"preventivo o correctivo." example:"preventivo"`
	Fecha         string   `json:"fecha" format:"date" doc:"Día del trabajo, AAAA-MM-DD." example:"2024-04-02"`
	Observaciones string   `json:"observaciones" doc:"Hasta 2000 caracteres." example:"Limpieza interna y cambio de pasta térmica."`
	Usuario       *string  `json:"usuario,omitempty" required:"false" nullable:"true" doc:"Quién lo registra, hasta 100 caracteres." example:"Ana Torres"`
	usuario       string
}

func (m *MantenimientoNuevo) fields() []field {
	return []field{{"codigo_maquina", &m.CodigoMaquina}, {"empresa", &m.Empresa}, {"tecnico", &m.Tecnico}, {"tipo", &m.Tipo},
		{"fecha", &m.Fecha}, {"observaciones", &m.Observaciones}, {"usuario", &m.usuario}}
}

// MantenimientoHecho is the answer to a new record.
type MantenimientoHecho struct {
	Mensaje       string `json:"mensaje" doc:"Qué se hizo." example:"Mantenimiento agregado correctamente."`
	CodigoMaquina string `json:"codigo_maquina" doc:"Código de la máquina como se registró." example:"LAB1-PC-01"`
	ID            string `json:"_id" doc:"Identificador del registro." example:"65f4a1b2c3d4e5f6a7b8c9d0"`
}

// Informe is one machine in the report.
type Informe struct {
	Codigo         string           `json:"codigo" doc:"Código de la máquina." example:"LAB1-PC-01"`
	Tipo           string           `json:"tipo" enum:"PC,IMP" doc:"PC o impresora." example:"PC"`
	Area           string           `json:"area" doc:"Dónde está." example:"Laboratorio 1"`
	Estado         string           `json:"estado" enum:"operativa,en mantenimiento,fuera de servicio" doc:"Condición en que está." example:"operativa"`
	FechaRegistro  string           `json:"fecha_registro" format:"date" doc:"Día del registro." example:"2024-03-15"`
	Mantenimientos *[]Mantenimiento `json:"mantenimientos" doc:"Del más nuevo al más antiguo; null cuando no se pueden leer, con la cabecera Warning."`
	Total          *int             `json:"total_mantenimientos" doc:"Cuántos son; null cuando no se pueden leer." example:"1"`
	Ultimo         *string          `json:"ultimo_mantenimiento" format:"date" doc:"Día del último; null si no hay o no se pueden leer." example:"2024-04-02"`
}

func informeOf(f mantenimientos.FilaInforme) Informe {
	row := Informe{Codigo: f.Codigo, Tipo: string(f.Tipo), Area: f.Area, Estado: string(f.Estado), FechaRegistro: string(f.Fecha)}
	if !f.Known {
		return row
	}
	list := mantenimientosOf(f.Mantenimientos)
	row.Mantenimientos, row.Total = &list, new(len(list))
	if len(list) > 0 {
		row.Ultimo = &list[0].Fecha
	}
	return row
}

// ConsultaMantenimientos are the parameters of a list of records.
type ConsultaMantenimientos struct {
	Limite string `query:"limite" doc:"Registros en la página, de 1 a 10000." example:"50"`
	Cursor string `query:"cursor" doc:"Dónde empieza la página; viene en la cabecera Link de la anterior."`
	Orden  string `query:"orden" doc:"fecha:desc, como sin él, o fecha:asc." example:"fecha:desc"`
	Tipo   string `query:"tipo" doc:"Solo preventivo o solo correctivo." example:"preventivo"`
	Desde  string `query:"desde" doc:"De este día o después, AAAA-MM-DD." example:"2020-01-01"`
	Hasta  string `query:"hasta" doc:"De este día o antes, AAAA-MM-DD." example:"2030-12-31"`
}

func (c ConsultaMantenimientos) query(buscar string, byDefault int) (mantenimientos.Query, url.Values, error) {
	n, err := limite(c.Limite, mantenimientos.MaxLimite)
	if err != nil {
		return mantenimientos.Query{}, nil, err
	}
	q, err := mantenimientos.NewQuery(mantenimientos.Consulta{Limite: n, Cursor: c.Cursor, Orden: c.Orden, Tipo: c.Tipo,
		Desde: c.Desde, Hasta: c.Hasta, Buscar: buscar}, byDefault)
	v := url.Values{}
	for name, value := range map[string]string{"limite": c.Limite, "orden": c.Orden, "tipo": c.Tipo, "desde": c.Desde, "hasta": c.Hasta, "buscar": buscar} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return q, v, err
}

type todosInput struct {
	ConsultaMantenimientos
	Buscar      string `query:"buscar" doc:"Solo los de máquinas que tienen este texto en el código." example:"LAB1"`
	IfNoneMatch string `header:"If-None-Match" doc:"ETag de la lista que el cliente ya tiene."`
}

type historialInput struct {
	Codigo string `path:"codigo" doc:"La máquina, en cualquier caja." example:"LAB1-PC-01"`
	ConsultaMantenimientos
	IfNoneMatch string `header:"If-None-Match" doc:"ETag de la lista que el cliente ya tiene."`
}

type informeInput struct {
	Codigo string `query:"codigo" doc:"Solo las máquinas que tienen este texto en el código." example:"LAB1"`
}

func exampleMantenimiento() Mantenimiento {
	return Mantenimiento{ID: "65f4a1b2c3d4e5f6a7b8c9d0", CodigoMaquina: "LAB1-PC-01", Empresa: "Soporte Universitario", Tecnico: "Luis Vera",
		Tipo: new("preventivo"), Fecha: "2024-04-02", Observaciones: "Limpieza interna y cambio de pasta térmica.", Usuario: new("Ana Torres")}
}

func exampleInforme() Informe {
	list := []Mantenimiento{exampleMantenimiento()}
	return Informe{Codigo: "LAB1-PC-01", Tipo: "PC", Area: "Laboratorio 1", Estado: "operativa", FechaRegistro: "2024-03-15",
		Mantenimientos: &list, Total: new(1), Ultimo: new("2024-04-02")}
}

func historialOperation() operation {
	return operation{
		id: "historial-mantenimientos", method: http.MethodGet, path: "/api/mantenimientos/historial/{codigo}", tag: tagMantenimientos,
		summary: "Historial de una máquina, del más nuevo al más antiguo", access: session, stores: ofRecords, list: true,
		answer: []Mantenimiento{}, example: []Mantenimiento{exampleMantenimiento()}, errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}
}

func agregarMantenimientoOperation() operation {
	return operation{
		id: "agregar-mantenimiento", method: http.MethodPost, path: "/api/mantenimientos/agregar", tag: tagMantenimientos,
		summary: "Registrar un mantenimiento", access: session, stores: ofRecords, status: http.StatusCreated,
		request: MantenimientoNuevo{CodigoMaquina: "LAB1-PC-01", Empresa: "Soporte Universitario", Tecnico: "Luis Vera", Tipo: "preventivo",
			Fecha: "2024-04-02", Observaciones: "Limpieza interna y cambio de pasta térmica.", Usuario: new("Ana Torres")},
		answer:  MantenimientoHecho{},
		example: MantenimientoHecho{Mensaje: "Mantenimiento agregado correctamente.", CodigoMaquina: "LAB1-PC-01", ID: "65f4a1b2c3d4e5f6a7b8c9d0"},
		errors:  []int{http.StatusNotFound},
	}
}

func informeOperation() operation {
	return operation{
		id: "informe-mantenimientos", method: http.MethodGet, path: "/api/mantenimientos/informe", tag: tagMantenimientos,
		summary:     "Informe de todas las máquinas con sus mantenimientos",
		description: "Se envía mientras se lee: si algo falla a la mitad la conexión se corta. Sin el almacén de mantenimientos llega con la cabecera Warning y mantenimientos en null.",
		access:      session, unlimited: true, endless: true,
		answer: []Informe{}, example: []Informe{exampleInforme()}, errors: []int{http.StatusBadRequest},
	}
}

func (a *API) registerMantenimientos() {
	handle(a, historialOperation(), a.historial(false))
	handleBody(a, agregarMantenimientoOperation(), a.agregarMantenimiento)
	handle(a, informeOperation(), a.informe)

	const todos = "/api/mantenimientos/todos"
	handle(a, operation{
		id: "todos-mantenimientos", method: http.MethodGet, path: todos, tag: tagMantenimientos,
		summary:     "Todos los mantenimientos, del más nuevo al más antiguo, por páginas",
		description: "Sin limite, la página tiene 100. El total y la página siguiente van en X-Total-Count y Link.",
		access:      session, stores: ofRecords, list: true,
		answer: []Mantenimiento{}, example: []Mantenimiento{exampleMantenimiento()}, errors: []int{http.StatusBadRequest},
	}, func(ctx context.Context, x *exchange, in *todosInput) error {
		q, v, err := in.query(in.Buscar, mantenimientos.DefaultLimite)
		if err != nil {
			return err
		}
		p, err := a.cfg.Mantenimientos.List(ctx, q)
		if err != nil {
			return err
		}
		x.answer(newList(mantenimientosOf(p.Items), p.Total, nextURL(todos, v, p.Next)))
		return nil
	})
}

// historial answers one machine's records. With emptyIfUnknown an unknown machine has none, as the old clients need it.
func (a *API) historial(emptyIfUnknown bool) func(context.Context, *exchange, *historialInput) error {
	return func(ctx context.Context, x *exchange, in *historialInput) error {
		q, v, err := in.query("", mantenimientos.MaxLimite)
		if err != nil {
			return err
		}
		p, err := a.cfg.Mantenimientos.Historial(ctx, texto.Clean(in.Codigo), q)
		if err != nil && !(emptyIfUnknown && errs.KindOf(err) == errs.NotFound) {
			return err
		}
		path := strings.Replace(x.route, "{codigo}", url.PathEscape(in.Codigo), 1)
		x.answer(newList(mantenimientosOf(p.Items), p.Total, nextURL(path, v, p.Next)))
		return nil
	}
}

func (a *API) agregarMantenimiento(ctx context.Context, x *exchange, _ *agregarInput, b *MantenimientoNuevo, raw []byte) error {
	key, err := x.idempotencyKey("POST /api/mantenimientos/agregar", raw)
	if err != nil {
		return err
	}
	m, err := a.cfg.Mantenimientos.Add(ctx, mantenimientos.Entrada{CodigoMaquina: b.CodigoMaquina, Empresa: b.Empresa, Tecnico: b.Tecnico,
		Tipo: b.Tipo, Fecha: b.Fecha, Observaciones: b.Observaciones, Usuario: b.usuario}, key)
	if err != nil {
		return err
	}
	return x.respond(http.StatusCreated, MantenimientoHecho{Mensaje: "Mantenimiento agregado correctamente.", CodigoMaquina: m.CodigoMaquina, ID: m.ID})
}

const (
	// informeLife is the longest that a report may take, however slowly it is read.
	informeLife = 10 * time.Minute
	// informeChunk is how much of a report is gathered before it is sent, in bytes.
	informeChunk = 32 << 10
)

// informe streams the report. The first row decides the status; each chunk has TIMEOUT to get through, so that a reader who stopped reading
// holds nothing for long, while a long report is not cut short.
func (a *API) informe(ctx context.Context, x *exchange, in *informeInput) error {
	if a.limit.informes.Add(1) > maxInforms {
		a.limit.informes.Add(-1)
		return errOverload
	}
	defer a.limit.informes.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, informeLife)
	defer cancel()
	s := &stream{x: x, rc: http.NewResponseController(x.ResponseWriter)}
	defer s.release()
	// A read deadline of the server's would end the context of a report that outlives it.
	_ = s.rc.SetReadDeadline(time.Time{})
	began := false
	for row, err := range a.cfg.Mantenimientos.Informe(ctx, in.Codigo) {
		if err != nil {
			return err
		}
		if !began {
			began = true
			if !row.Known {
				x.Header().Set("Warning", `199 - "maintenance records unavailable"`)
			}
			s.begin()
			if x.r.Method == http.MethodHead {
				return nil
			}
		}
		if err := s.row(informeOf(row)); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !began {
		s.begin()
	}
	return s.end()
}

// errReader says that a report was not read to its end, or too slowly: no fault of the service.
var errReader = errors.New("the reader is gone or too slow")

// stream writes a JSON array row by row.
type stream struct {
	x    *exchange
	rc   *http.ResponseController
	zip  *gzip.Writer // nil when the client does not take gzip
	buf  bytes.Buffer
	rows int
}

func (s *stream) begin() {
	h := s.x.Header()
	h.Set("Content-Type", "application/json")
	h.Add("Vary", "Accept-Encoding")
	gzips := false
	for _, line := range s.x.r.Header["Accept-Encoding"] {
		for item := range strings.SplitSeq(line, ",") {
			if name, q := weighted(item); strings.EqualFold(name, "gzip") && q > 0 {
				gzips = true
			}
		}
	}
	if gzips {
		h.Set("Content-Encoding", gzipped.String())
		s.zip = s.x.api.compressor.gzips.Get().(*gzip.Writer)
		s.zip.Reset(s.x)
	}
	s.buf.WriteByte('[')
	s.x.WriteHeader(http.StatusOK)
}

func (s *stream) row(v Informe) error {
	if s.rows > 0 {
		s.buf.WriteByte(',')
	}
	e := json.NewEncoder(&s.buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	s.buf.Truncate(s.buf.Len() - 1) // the newline
	s.rows++
	if s.rows == 1 || s.buf.Len() >= informeChunk {
		return s.flush()
	}
	return nil
}

// flush sends what was gathered, through the compressor too.
func (s *stream) flush() error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(s.x.api.cfg.Timeout)) // a recorder in a test has no deadlines
	var err error
	if s.zip != nil {
		if _, err = s.zip.Write(s.buf.Bytes()); err == nil {
			err = s.zip.Flush()
		}
	} else {
		_, err = io.Copy(s.x, bytes.NewReader(s.buf.Bytes()))
	}
	s.buf.Reset()
	if err == nil {
		err = s.rc.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errReader, err)
	}
	return nil
}

func (s *stream) end() error {
	s.buf.WriteByte(']')
	if err := s.flush(); err != nil {
		return err
	}
	if s.zip != nil {
		if err := s.zip.Close(); err != nil {
			return err
		}
	}
	_ = s.rc.SetWriteDeadline(time.Time{}) // the connection's next request has its own
	return nil
}

// release gives the compressor's writer back.
func (s *stream) release() {
	if s.zip != nil {
		s.zip.Reset(nil)
		s.x.api.compressor.gzips.Put(s.zip)
	}
}

// limite reads the parameter of that name; 0 when it was not given.
func limite(text string, most int) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, errMalformed("limite debe ser un número entre 1 y " + strconv.Itoa(most) + ".")
	}
	return n, nil
}
