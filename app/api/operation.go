package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"siglab/app/errs"
	"siglab/app/telemetry"
)

// operation is one call of the API: what the router, the checks before the handler and the OpenAPI document need to know of it.
type operation struct {
	id, method, path, tag, summary, description string

	access access
	status int // of success; 0 is 200

	request any      // an example of the body, whose type documents it
	answer  any      // a value of the type that is answered
	example any      // of the answer
	media   string   // of the answer; JSON when empty
	headers []string // of the answer, beside those of a list
	errors  []int    // beside those that follow from the rest

	stores     stores
	list       bool // answers a list: ETag, X-Total-Count, Link
	unlimited  bool // takes no permit of the adaptive limit by itself
	endless    bool // bounds its time itself
	always     bool // answers while the process starts, and above the ceiling
	quiet      bool // logged at debug
	deprecated bool
}

// written is the answer of every handler to huma: it was written already.
type written struct {
	Body func(huma.Context)
}

// handle registers an operation without a body. I holds its parameters. A handler answers through the exchange, or returns an error.
func handle[I any](a *API, op operation, h func(ctx context.Context, x *exchange, in *I) error) {
	done := &written{Body: func(huma.Context) {}}
	huma.Register(a.huma, a.document(op), func(ctx context.Context, in *I) (*written, error) {
		x := exchangeOf(ctx)
		err := a.perform(ctx, x, &op, nil, func(ctx context.Context) error { return h(ctx, x, in) })
		if err != nil {
			x.fail(err)
		}
		return done, nil
	})
	a.complete(op)
}

// handleBody registers an operation with a JSON body, which the handler gets decoded and as it came.
func handleBody[I, B any, P body[B]](a *API, op operation, h func(ctx context.Context, x *exchange, in *I, b *B, raw []byte) error) {
	done := &written{Body: func(huma.Context) {}}
	huma.Register(a.huma, a.document(op), func(ctx context.Context, in *I) (*written, error) {
		x := exchangeOf(ctx)
		var b B
		var raw []byte
		read := func() (err error) {
			if raw, err = x.read(); err != nil {
				return err
			}
			return decode(raw, P(&b).fields())
		}
		err := a.perform(ctx, x, &op, read, func(ctx context.Context) error { return h(ctx, x, in, &b, raw) })
		if err != nil {
			x.fail(err)
		}
		return done, nil
	})
	a.complete(op)
}

// perform runs the checks of an operation and then its work.
func (a *API) perform(ctx context.Context, x *exchange, op *operation, read func() error, work func(context.Context) error) error {
	x.route, x.quiet = op.path, op.quiet
	if !op.always {
		if !a.limit.enter() {
			return errOverload
		}
		defer a.limit.leave()
		if err := a.cfg.Monitor.Admit(ctx); err != nil {
			x.refused = true
			a.tel.Metrics.Refused(telemetry.RefusedStarting)
			return err
		}
	}
	if err := x.authenticate(op.access); err != nil {
		return err
	}
	if err := wellFormed(x.r.URL); err != nil {
		return err
	}
	if read != nil {
		if err := read(); err != nil {
			return err
		}
	}
	if op.endless {
		return work(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if op.unlimited {
		return work(ctx)
	}
	return a.limit.do(ctx, op.stores, func() error { return work(ctx) })
}

// wellFormed refuses addresses whose escapes are broken or whose text is no UTF-8, before a parameter is taken for what it is not.
func wellFormed(u *url.URL) error {
	if !utf8.ValidString(u.Path) {
		return errMalformed("La dirección no es UTF-8 válido.")
	}
	if u.RawQuery == "" {
		return nil
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errs.Wrap(errs.Malformed, "Los parámetros de la dirección están mal escritos; revise los signos % y ;.", err)
	}
	for name, values := range q {
		if !utf8.ValidString(name) || slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
			return errMalformed("Los parámetros de la dirección no son UTF-8 válido.")
		}
	}
	return nil
}

// Tags of the document.
const (
	tagAuth           = "Autenticación"
	tagMaquinas       = "Máquinas"
	tagMantenimientos = "Mantenimientos"
	tagSistema        = "Sistema"
)

// document returns what huma is to know of an operation. Parameters are read by huma; bodies and answers are not its business, so that
// what is refused, and in which words, is decided in one place.
func (a *API) document(op operation) huma.Operation {
	registry := a.huma.OpenAPI().Components.Schemas
	status := op.status
	if status == 0 {
		status = http.StatusOK
	}
	media := op.media
	if media == "" {
		media = "application/json"
	}
	good := &huma.Response{
		Description: "Correcto",
		Headers:     map[string]*huma.Param{},
		Content:     map[string]*huma.MediaType{media: {Schema: schemaOf(registry, op.answer), Example: plainValue(op.example)}},
	}
	names := append([]string{"X-Request-ID", "X-Server-ID"}, op.headers...)
	if op.list {
		names = append(names, "ETag", "X-Total-Count", "Link")
	}
	for _, name := range names {
		good.Headers[name] = &huma.Param{Description: headerDoc(name), Schema: &huma.Schema{Type: huma.TypeString}}
	}
	responses := map[string]*huma.Response{strconv.Itoa(status): good}
	if op.list {
		responses["304"] = &huma.Response{Description: "El cliente ya tiene lo último (If-None-Match)."}
	}
	for _, code := range a.errorsOf(op) {
		responses[strconv.Itoa(code)] = &huma.Response{
			Description: titleOf(code),
			Content: map[string]*huma.MediaType{problemType: {
				Schema: schemaOf(registry, Problem{}),
				Example: plainValue(Problem{Type: "about:blank", Title: titleOf(code), Status: code, Detail: "Una frase que dice qué pasó y qué hacer.",
					Errors: []ProblemField{}, RequestID: "5f1c0f2ab86d4d1e9c3c6a7be2f4a901"}),
			}},
		}
	}
	if op.id == "health" {
		responses["503"] = &huma.Response{Description: "Iniciando o terminando",
			Content: map[string]*huma.MediaType{media: {Schema: schemaOf(registry, op.answer)}}}
	}
	var security []map[string][]string
	switch op.access {
	case anyone:
		security = []map[string][]string{{}}
	case optional:
		security = []map[string][]string{{}, {"bearer": {}}, {"cookie": {}}}
	default:
		security = []map[string][]string{{"bearer": {}}, {"cookie": {}}}
	}
	return huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Tags: []string{op.tag}, Summary: op.summary, Description: op.description,
		Deprecated: op.deprecated, DefaultStatus: status, Responses: responses, Security: security,
		SkipValidateParams: true, SkipValidateBody: true,
	}
}

// errorsOf lists the statuses that an operation may answer beside those it names.
func (a *API) errorsOf(op operation) []int {
	codes := append([]int{http.StatusInternalServerError, http.StatusServiceUnavailable}, op.errors...)
	if op.access >= session {
		codes = append(codes, http.StatusUnauthorized)
		if op.access == admin || op.method != http.MethodGet {
			codes = append(codes, http.StatusForbidden)
		}
	}
	if op.request != nil {
		codes = append(codes, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// complete adds to the document what huma would otherwise act upon.
func (a *API) complete(op operation) {
	doc := a.huma.OpenAPI()
	item := doc.Paths[op.path]
	var d *huma.Operation
	switch op.method {
	case http.MethodGet:
		d = item.Get
	case http.MethodPost:
		d = item.Post
	case http.MethodPut:
		d = item.Put
	case http.MethodDelete:
		d = item.Delete
	}
	if op.request != nil {
		d.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemaOf(doc.Components.Schemas, op.request), Example: plainValue(op.request)}}}
	}
	for _, p := range d.Parameters {
		if p.Name == "limite" {
			p.Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0), Maximum: new(10000.0)}
			p.Example = 50
		}
	}
}

// schemaOf returns the schema of a value's type. An empty list is a list, never null.
func schemaOf(registry huma.Registry, v any) *huma.Schema {
	if _, both := v.(oneOrMany); both {
		one := registry.Schema(reflect.TypeFor[Maquina](), true, "Maquina")
		return &huma.Schema{OneOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one}}}
	}
	t := reflect.TypeOf(v)
	s := registry.Schema(t, true, t.Name())
	if t.Kind() == reflect.Slice {
		s.Nullable = false
	}
	return s
}

// plainValue returns an example as the JSON value that it is.
func plainValue(v any) any {
	var out any
	if err := json.Unmarshal(encode(v), &out); err != nil {
		panic("api: an example is no JSON: " + err.Error())
	}
	return out
}

func headerDoc(name string) string {
	switch name {
	case "ETag":
		return "Versión de lo que se responde."
	case "Location":
		return "Dirección de lo que se creó."
	case "Link":
		return `Página siguiente: <…>; rel="next". Falta en la última.`
	case "X-Total-Count":
		return "Cuántos elementos hay en total; puede tener la edad de la caché."
	case "Set-Cookie":
		return "La sesión, en una cookie HttpOnly."
	case "X-Request-ID":
		return "Identificador de la petición."
	}
	return "Réplica que responde."
}
