package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/swaggest/swgui/v5emb"
)

const (
	docsPath = "/docs"
	specPath = "/openapi.json"
)

// humaConfig describes the API as a whole. Huma serves no page of its own: its documentation would load scripts from elsewhere.
func (a *API) humaConfig() huma.Config {
	const prefix = "#/components/schemas/"
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "SIGLAB",
				Version:     a.cfg.Version,
				Description: "Registro de las máquinas de los laboratorios y de su mantenimiento. Los errores son application/problem+json (RFC 9457).",
			},
			Tags: []*huma.Tag{{Name: tagAuth}, {Name: tagMaquinas}, {Name: tagMantenimientos}, {Name: tagSistema}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry(prefix, huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "El token que responde el inicio de sesión."},
					"cookie": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "La misma sesión; con ella una escritura debe venir del mismo origen."},
				},
			},
		},
		Formats:       huma.DefaultFormats,
		DefaultFormat: "application/json",
	}
}

// openAPI finishes the document and returns it as JSON.
func (a *API) openAPI() ([]byte, error) {
	doc := a.huma.OpenAPI()
	schemas := doc.Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's own error, which nothing answers
	delete(schemas, "ErrorDetail")
	for _, s := range schemas {
		for name, p := range s.Properties {
			if p.Nullable && len(p.Enum) > 0 {
				p.Enum = append(p.Enum, nil) // or null would not be one of the values
			}
			if p.Ref != "" && name == "mantenimientos" { // the dashboard's, null while the records' store is down
				s.Properties[name] = &huma.Schema{Description: p.Description, OneOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
			}
		}
	}
	return doc.MarshalJSON()
}

// registerDocs adds the document and a page to read and try it, which works without a network.
func (a *API) registerDocs() {
	// Made when it is first asked for: it would be most of what a start takes by itself.
	document := sync.OnceValues(func() (d struct {
		spec []byte
		sum  string
	}, err error) {
		d.spec, err = a.openAPI()
		d.sum = digest(d.spec)
		return d, err
	})
	a.router.Path(specPath).Methods(http.MethodGet).HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.route, x.quiet = specPath, true
		d, err := document()
		if err != nil {
			x.fail(fmt.Errorf("api: the document: %w", err))
			return
		}
		h := x.Header()
		h.Set("Cache-Control", "no-cache")
		how := codingFor(x.r)
		tag := `"` + d.sum + how.suffix() + `"`
		h.Set("ETag", tag)
		if found, ok := matches(x.r.Header["If-None-Match"], tag, true); found && ok {
			h.Set("Vary", "Accept-Encoding")
			x.WriteHeader(http.StatusNotModified)
			return
		}
		x.send(http.StatusOK, "application/json", d.spec)
	})

	page := v5emb.New("SIGLAB", specPath, docsPath+"/")
	policy := []string{docsPolicy(page)}
	serve := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.route, x.quiet = docsPath, true
		h := x.Header()
		h["Content-Security-Policy"] = policy
		h.Set("Cache-Control", "no-cache")
		page.ServeHTTP(&htmlError{exchange: x}, r)
	})
	a.router.Path(docsPath).Methods(http.MethodGet).Handler(serve)
	a.router.PathPrefix(docsPath + "/").Methods(http.MethodGet).Handler(serve)
}

// htmlError turns the page server's own plain errors into problems.
type htmlError struct {
	*exchange
	failed bool
}

func (w *htmlError) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.failed = true
		w.Header().Del("Content-Encoding")
		w.fail(errNoRoute())
		return
	}
	w.exchange.WriteHeader(status)
}

func (w *htmlError) Write(b []byte) (int, error) {
	if w.failed {
		return len(b), nil
	}
	return w.exchange.Write(b)
}

// docsPolicy allows the page its own files and the scripts that stand in it, by their hashes.
func docsPolicy(page http.Handler) string {
	var c capture
	r, _ := http.NewRequest(http.MethodGet, docsPath, nil) // a fixed address always parses
	page.ServeHTTP(&c, r)
	policy := "default-src 'none'; connect-src 'self'; img-src 'self' data:; font-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; script-src 'self'"
	rest := c.body.String()
	for {
		_, after, found := strings.Cut(rest, "<script>")
		script, tail, closed := strings.Cut(after, "</script>")
		if !found || !closed {
			return policy
		}
		sum := sha256.Sum256([]byte(script))
		policy += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		rest = tail
	}
}

// capture keeps a page.
type capture struct {
	header http.Header
	body   bytes.Buffer
}

func (c *capture) Header() http.Header {
	if c.header == nil {
		c.header = http.Header{}
	}
	return c.header
}
func (c *capture) Write(b []byte) (int, error) { return c.body.Write(b) }
func (c *capture) WriteHeader(int)             {}
