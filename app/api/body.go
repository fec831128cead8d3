package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"siglab/app/errs"
)

const (
	// maxBody is the most bytes a request's body may have. Source: contract, "Errors".
	maxBody = 1 << 20
	// bodyTime is how long a client may take to send its body.
	bodyTime = 10 * time.Second
)

// field is one member of a body's object: all that clients send are texts.
type field struct {
	name string
	to   *string
}

// body is a request's body: a struct whose JSON tags document it, and the same members to be filled.
type body[T any] interface {
	*T
	fields() []field
}

// read returns the request's body after the checks that need no look into it.
func (x *exchange) read() ([]byte, error) {
	r := x.r
	if err := x.checkMediaType(); err != nil {
		return nil, err
	}
	if r.ContentLength > maxBody {
		return nil, errTooLarge()
	}
	rc := http.NewResponseController(x.ResponseWriter)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // a recorder in a test has no deadlines
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	raw, err := io.ReadAll(http.MaxBytesReader(x.ResponseWriter, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, errTooLarge()
		}
		return nil, errs.Wrap(errs.Malformed, "El cuerpo de la petición llegó incompleto; envíelo de nuevo.", err)
	}
	return raw, nil
}

// checkMediaType accepts JSON, and a body that names no type unless it comes from a page of another origin: browsers ask before
// they send JSON there, but not before they send what has no type.
func (x *exchange) checkMediaType() error {
	r := x.r
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return errMediaType()
	}
	values := r.Header["Content-Type"]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		if x.api.origin.Check(r) != nil {
			return errMediaType()
		}
		return nil
	}
	if len(values) > 1 {
		return errMediaType()
	}
	if values[0] == "application/json" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(values[0])
	charset := params["charset"]
	if err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return errMediaType()
	}
	return nil
}

// decode fills fields from a JSON object. Members that are not among them are ignored, null is as if it were missing, and each
// member that is no text is named in an Invalid error.
func decode(raw []byte, fields []field) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return errMalformed("La petición necesita un cuerpo JSON.")
	}
	if !utf8.Valid(raw) {
		return errMalformed("El cuerpo de la petición no es UTF-8 válido.")
	}
	if !json.Valid(raw) {
		return errMalformed("El cuerpo de la petición no es JSON válido.")
	}
	var bad errs.Fields
	object := gjson.ParseBytes(raw) // which takes for granted that it is valid
	if !object.IsObject() {
		bad.Add("body", "El cuerpo de la petición debe ser un objeto JSON.", nil)
		return bad.Err()
	}
	var failure error
	seen := make([]bool, len(fields))
	object.ForEach(func(key, value gjson.Result) bool {
		for i, f := range fields {
			if f.name != key.Str {
				continue
			}
			if seen[i] {
				failure = errMalformed("El campo " + f.name + " aparece más de una vez en el cuerpo.")
				return false
			}
			seen[i] = true
			switch value.Type {
			case gjson.String:
				if err := json.Unmarshal([]byte(value.Raw), f.to); err != nil || mangled(value.Raw, *f.to) {
					failure = errMalformed("El campo " + f.name + " contiene caracteres que no existen en Unicode.")
					return false
				}
			case gjson.Null:
			default:
				bad.Add(f.name, "El campo "+f.name+" debe ser un texto.", scalar(value))
			}
		}
		return true
	})
	if failure != nil {
		return failure
	}
	return bad.Err()
}

// mangled says whether decoding put a replacement for half a surrogate pair, which is no character.
func mangled(raw, text string) bool {
	if !strings.ContainsRune(text, utf8.RuneError) {
		return false
	}
	return strings.Count(text, "\uFFFD") != strings.Count(raw, "\uFFFD")+strings.Count(strings.ToLower(raw), `\ufffd`)
}

// scalar returns a number or a truth value for the answer, nil for what is larger.
func scalar(value gjson.Result) any {
	var v any
	if len(value.Raw) > maxEcho || json.Unmarshal([]byte(value.Raw), &v) != nil { // a number may be too large to be one
		return nil
	}
	switch v.(type) {
	case bool, float64:
		return v
	}
	return nil
}
