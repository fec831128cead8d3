package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"siglab/app/api"
)

// document is the part of OpenAPI that these tests look at.
type document struct {
	OpenAPI string                               `json:"openapi"`
	Paths   map[string]map[string]documentedCall `json:"paths"`
}

type documentedCall struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Deprecated  bool                  `json:"deprecated"`
	Security    []map[string][]string `json:"security"`
	Parameters  []struct {
		Name, In string
		Required bool
		Example  any
		Schema   struct{ Examples []any }
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct{ Example json.RawMessage }
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string
		Content     map[string]struct {
			Example json.RawMessage
			Schema  map[string]any
		}
	} `json:"responses"`
}

func readDocument(t *testing.T, raw []byte) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestDocumentIsTheGoldenOne shows each change of the document in a review. That the file is valid OpenAPI 3.1 is tested in tests/openapi, a
// module of its own for the sake of the validator's many dependencies.
func TestDocumentIsTheGoldenOne(t *testing.T) {
	raw, err := api.OpenAPI("v0")
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, raw, "", " "); err != nil {
		t.Fatal(err)
	}
	got := append(indented.Bytes(), '\n')
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the document is not %s; run go test ./app/api -update and look at what changed", golden)
	}
}

// TestEveryOperationIsDocumented asks of each operation what a reader needs.
func TestEveryOperationIsDocumented(t *testing.T) {
	raw, err := api.OpenAPI("v0")
	if err != nil {
		t.Fatal(err)
	}
	d := readDocument(t, raw)
	calls, old := 0, 0
	for path, methods := range d.Paths {
		for method, op := range methods {
			calls++
			name := method + " " + path
			if op.Summary == "" || op.OperationID == "" || len(op.Security) == 0 {
				t.Errorf("%s lacks a summary, an identifier or its security", name)
			}
			if op.Deprecated {
				old++
			}
			good, bad := 0, 0
			for status, r := range op.Responses {
				if r.Description == "" {
					t.Errorf("%s %s lacks a description", name, status)
				}
				for _, m := range r.Content {
					switch {
					case status[0] == '2' && len(m.Example) > 0:
						good++
					case status[0] >= '4':
						bad++
					}
				}
			}
			if good == 0 || bad < 2 {
				t.Errorf("%s has %d examples of an answer and %d errors", name, good, bad)
			}
			if (method == "post" || method == "put") && !strings.Contains(path, "logout") && op.RequestBody == nil {
				t.Errorf("%s lacks its body", name)
			}
			if op.RequestBody != nil && len(op.RequestBody.Content["application/json"].Example) == 0 {
				t.Errorf("%s lacks an example of its body", name)
			}
		}
	}
	if calls != 23 || old != 6 {
		t.Errorf("got %d operations, %d of them deprecated; want 23 and 6", calls, old)
	}
}

// TestExamplesDriveTheService sends each operation's example to the running service and holds the answer against the document.
func TestExamplesDriveTheService(t *testing.T) {
	s := start(t, options{})
	raw := s.call("GET", "/openapi.json", "").body
	d := readDocument(t, raw)
	var whole map[string]any
	if err := json.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`\{(\w+)\}`)
	run := func(method, path string) {
		op, ok := d.Paths[path][strings.ToLower(method)]
		if !ok {
			t.Fatalf("%s %s is not in the document", method, path)
		}
		target := variable.ReplaceAllStringFunc(path, func(name string) string {
			for _, p := range op.Parameters {
				if p.In == "path" && "{"+p.Name+"}" == name {
					return url.PathEscape(p.Schema.Examples[0].(string))
				}
			}
			t.Fatalf("%s: %s has no example", path, name)
			return ""
		})
		q := url.Values{}
		for _, p := range op.Parameters {
			if p.In != "query" || path == "/api/maquinas/buscar" && p.Name != "codigo" {
				continue
			}
			switch {
			case p.Example != nil:
				q.Set(p.Name, jsonText(p.Example))
			case len(p.Schema.Examples) > 0:
				q.Set(p.Name, jsonText(p.Schema.Examples[0]))
			}
		}
		if len(q) > 0 {
			target += "?" + q.Encode()
		}
		body := ""
		if op.RequestBody != nil {
			body = string(op.RequestBody.Content["application/json"].Example)
		}
		a := s.call(method, target, body)
		if a.StatusCode >= 300 || op.Responses[jsonText(float64(a.StatusCode))].Description == "" {
			t.Errorf("%s %s %s: %d %s", method, target, body, a.StatusCode, a.body)
			return
		}
		if strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
			schema := op.Responses[jsonText(float64(a.StatusCode))].Content["application/json"].Schema
			var v any
			if err := json.Unmarshal(a.body, &v); err != nil {
				t.Fatal(err)
			}
			for _, why := range violations(whole["components"].(map[string]any)["schemas"].(map[string]any), schema, v, method+" "+path) {
				t.Error(why)
			}
		}
	}
	ordered := []string{
		"POST /api/auth/register", "POST /api/auth/login", "POST /api/login", "GET /api/auth/usuarios/activos",
		"POST /api/maquinas/agregar", "POST /api/mantenimientos/agregar", "POST /api/mantenimiento/agregar",
		"GET /api/maquinas/listar", "GET /api/maquinas/buscar", "PUT /api/maquinas/actualizar", "GET /api/maquinas/dashboard",
		"GET /api/mantenimientos/historial/{codigo}", "GET /api/mantenimiento/listar/{codigo}", "GET /api/mantenimientos/todos",
		"GET /api/mantenimientos/informe", "GET /api/mantenimiento/informe-general", "GET /api/sistema/health", "GET /api/sistema/metrics",
		"DELETE /api/maquinas/eliminar", "POST /api/maquinas/agregar", "DELETE /api/maquinas/eliminar/{codigo}",
	}
	seen := map[string]bool{}
	for _, call := range ordered {
		method, path, _ := strings.Cut(call, " ")
		seen[call] = true
		run(method, path)
	}
	// The old address registers the same account, which exists by now; a logout ends the session that all others need.
	if a := s.call("POST", "/api/register", `{"nombre_completo":"Ana Torres","username":"ana.torres","password":"una frase larga"}`); a.StatusCode != 409 {
		t.Errorf("POST /api/register: got %d, want 409", a.StatusCode)
	}
	for _, path := range []string{"/api/auth/logout", "/api/logout"} {
		s.admin = s.login("jefa", s.password)
		run("POST", path)
		seen["POST "+path] = true
	}
	seen["POST /api/register"] = true
	for path, methods := range d.Paths {
		for method := range methods {
			if !seen[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s was not driven", method, path)
			}
		}
	}
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	return strings.Trim(string(b), `"`)
}

// violations checks a value against the part of JSON Schema that the document uses.
func violations(all, schema map[string]any, v any, at string) []string {
	if ref, ok := schema["$ref"].(string); ok {
		return violations(all, all[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any), v, at)
	}
	if choices, ok := schema["oneOf"].([]any); ok {
		fits := 0
		for _, s := range choices {
			if len(violations(all, s.(map[string]any), v, at)) == 0 {
				fits++
			}
		}
		if fits != 1 {
			return []string{fmt.Sprintf("%s fits %d of the schemas of which it must fit one", at, fits)}
		}
		return nil
	}
	types := []any{schema["type"]}
	if list, ok := schema["type"].([]any); ok {
		types = list
	}
	var bad []string
	kind := map[bool]string{true: "null"}[v == nil]
	switch v := v.(type) {
	case string:
		kind = "string"
	case float64:
		kind = "number"
		if v == math.Trunc(v) && !slices.Contains(types, any("number")) {
			kind = "integer"
		}
	case bool:
		kind = "boolean"
	case []any:
		kind = "array"
		for i, item := range v {
			if items, ok := schema["items"].(map[string]any); ok {
				bad = append(bad, violations(all, items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		kind = "object"
		properties, _ := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, found := v[name.(string)]; !found {
				bad = append(bad, fmt.Sprintf("%s lacks %s", at, name))
			}
		}
		for name, member := range v {
			if p, found := properties[name].(map[string]any); found {
				bad = append(bad, violations(all, p, member, at+"."+name)...)
			} else if more, ok := schema["additionalProperties"].(map[string]any); ok {
				bad = append(bad, violations(all, more, member, at+"."+name)...)
			} else {
				bad = append(bad, fmt.Sprintf("%s has a member %s that is not documented", at, name))
			}
		}
	}
	if !slices.Contains(types, any(kind)) {
		bad = append(bad, fmt.Sprintf("%s is %s, not %v", at, kind, types))
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		bad = append(bad, fmt.Sprintf("%s is %v, not of %v", at, v, enum))
	}
	return bad
}
