package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"siglab/app/errs"
	"siglab/app/telemetry"
)

// Problem is what every answer from 400 up holds, as RFC 9457 has it.
type Problem struct {
	Type      string         `json:"type" doc:"Tipo del problema; about:blank dice que basta el estado." example:"about:blank"`
	Title     string         `json:"title" doc:"Nombre del estado." example:"No encontrado"`
	Status    int            `json:"status" doc:"Estado HTTP." example:"404"`
	Detail    string         `json:"detail" doc:"Una frase que se puede mostrar a la persona." example:"No existe una máquina con ese código."`
	Errors    []ProblemField `json:"errors" nullable:"false" doc:"Los campos que no cumplen una regla."`
	RequestID string         `json:"request_id" doc:"Identificador de la petición, el de X-Request-ID." example:"5f1c0f2ab86d4d1e9c3c6a7be2f4a901"`
}

// ProblemField is one field that breaks a rule.
type ProblemField struct {
	Location string `json:"location" doc:"Dónde está el campo." example:"body.fecha"`
	Message  string `json:"message" doc:"Qué regla no cumple." example:"La fecha debe ser un día real con la forma AAAA-MM-DD."`
	Value    any    `json:"value,omitempty" doc:"Lo que llegó, si es corto y no es secreto."`
}

// problemType is the media type of every error. Source: RFC 9457, 3.
const problemType = "application/problem+json"

// statusClientGone is logged when nobody is left to read an answer; it is never sent.
const statusClientGone = 499

// statusOf is the one place where a kind of failure becomes a status.
func statusOf(kind errs.Kind) int {
	switch kind {
	case errs.Malformed:
		return http.StatusBadRequest
	case errs.Unauthenticated:
		return http.StatusUnauthorized
	case errs.Forbidden:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Conflict:
		return http.StatusConflict
	case errs.Stale:
		return http.StatusPreconditionFailed
	case errs.Invalid:
		return http.StatusUnprocessableEntity
	case errs.Limited:
		return http.StatusTooManyRequests
	case errs.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// titleOf names a status.
func titleOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "Petición mal formada"
	case http.StatusUnauthorized:
		return "Sin sesión"
	case http.StatusForbidden:
		return "Sin permiso"
	case http.StatusNotFound:
		return "No encontrado"
	case http.StatusMethodNotAllowed:
		return "Método no permitido"
	case http.StatusConflict:
		return "Conflicto"
	case http.StatusPreconditionFailed:
		return "La versión cambió"
	case http.StatusRequestEntityTooLarge:
		return "Cuerpo demasiado grande"
	case http.StatusUnsupportedMediaType:
		return "Tipo de contenido no admitido"
	case http.StatusUnprocessableEntity:
		return "Datos no válidos"
	case http.StatusTooManyRequests:
		return "Demasiados intentos"
	case http.StatusServiceUnavailable:
		return "Servicio no disponible"
	}
	return "Error interno"
}

// protocolError is a failure that only HTTP knows: a method, a media type, a size.
type protocolError struct {
	status int
	detail string
	allow  string // with 405, the methods that there are
}

func (e *protocolError) Error() string { return e.detail }

func errMethod(allow string) error {
	return &protocolError{status: http.StatusMethodNotAllowed, allow: allow,
		detail: "Esta dirección no admite ese método; admite " + allow + "."}
}

func errTooLarge() error {
	return &protocolError{status: http.StatusRequestEntityTooLarge, detail: "El cuerpo de la petición supera 1 MiB."}
}

func errMediaType() error {
	return &protocolError{status: http.StatusUnsupportedMediaType,
		detail: "El cuerpo debe enviarse como application/json en UTF-8, sin comprimir."}
}

func errNoRoute() error {
	return errs.New(errs.NotFound, "No existe esta dirección; consulte /docs.")
}

func errMalformed(detail string) error { return errs.New(errs.Malformed, detail) }

// errOverload is told to those above the limit on requests in flight. It is a value, since making it must cost nothing.
var errOverload = &errs.Error{
	Kind:       errs.Unavailable,
	Message:    "El servicio está al límite de su capacidad; intente de nuevo en unos segundos.",
	RetryAfter: time.Second,
	Refused:    true,
}

// fail answers with a problem. When nothing can be answered any more it only notes what happened.
func (x *exchange) fail(err error) {
	x.cause = err
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Refused {
		x.refused = true
		x.api.tel.Metrics.Refused(telemetry.RefusedOverload)
	}
	if x.wrote { // the informe alone can come here; an answer that stops short must not look whole
		panic(http.ErrAbortHandler)
	}
	if x.clientGone() && errors.Is(err, context.Canceled) { // one that only stopped sending may still read
		// It may have closed its own half alone and read on: it must not take an empty 200 for the answer.
		x.status = statusClientGone
		panic(http.ErrAbortHandler)
	}
	p, retry := problemOf(err)
	h := x.Header()
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="siglab"`)
	case http.StatusMethodNotAllowed:
		if e, ok := errors.AsType[*protocolError](err); ok {
			h.Set("Allow", e.allow)
		}
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not worth reading
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter(retry))
	}
	p.RequestID = x.id
	for _, name := range [...]string{"Etag", "Location", "Link", "X-Total-Count", "Warning", "Content-Encoding"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	x.send(p.Status, problemType, encode(p))
}

// retryAfter writes a delay as Retry-After has it: whole seconds, one at least.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// problemOf translates an error. Only what an errs.Error says for clients gets out; all else is a general sentence.
func problemOf(err error) (Problem, time.Duration) {
	p := Problem{Type: "about:blank", Errors: []ProblemField{}}
	var retry time.Duration
	if e, ok := errors.AsType[*protocolError](err); ok {
		p.Status, p.Detail = e.status, e.detail
	} else if e, ok := errors.AsType[*errs.Error](err); ok && e.Kind != errs.Internal {
		p.Status, p.Detail, retry = statusOf(e.Kind), e.Message, e.RetryAfter
		for _, f := range e.Fields {
			p.Errors = append(p.Errors, ProblemField{Location: location(f.Location), Message: f.Message, Value: echo(f)})
		}
	} else if errors.Is(err, context.DeadlineExceeded) {
		p.Status = statusOf(errs.Unavailable)
		p.Detail = "La petición tardó más de lo permitido; intente de nuevo en unos segundos."
	} else {
		p.Status = statusOf(errs.Internal)
		p.Detail = "Ocurrió un error inesperado. Intente de nuevo; si continúa, comunique el identificador de la petición al soporte."
	}
	p.Title = titleOf(p.Status)
	return p, retry
}

// location says in which part of the request a field stands. The domain knows fields of bodies and one header.
func location(name string) string {
	switch {
	case name == "Idempotency-Key":
		return "header." + name
	case name == "body", strings.Contains(name, "."):
		return name
	}
	return "body." + name
}

// maxEcho is the longest text that is repeated to the client, in bytes.
const maxEcho = 120

// echo returns what the client sent in a field if that is a short scalar and no secret, else nil.
func echo(f errs.Field) any {
	if strings.Contains(f.Location, "password") {
		return nil
	}
	switch v := f.Value.(type) {
	case string:
		if len(v) <= maxEcho && utf8.ValidString(v) {
			return v
		}
	case bool, int, int64, float64:
		return v
	}
	return nil
}
