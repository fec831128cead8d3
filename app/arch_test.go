package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path that all packages of this repository begin with.
const module = "siglab/"

// levels are the domain packages from the ground up: each may import those of lower levels.
var levels = [][]string{
	{"errs", "fecha", "clave"},
	{"texto", "pagina", "idempotency"},
	{"cache"},
	{"maquinas", "usuarios"},
	{"mantenimientos"},
	{"sistema"},
}

// helpers are what domain packages may import from other modules: functions of their arguments, and the two of a login.
var helpers = []string{
	"golang.org/x/text/cases", "golang.org/x/text/unicode/norm", "golang.org/x/sync/singleflight",
	"golang.org/x/crypto/bcrypt", "github.com/golang-jwt/jwt/v5",
}

// adapters know a technology each. They import the domain, and of each other only what is named here.
var adapters = map[string][]string{
	"sqlstore": {"guard"},
	"mysql":    {"guard", "sqlstore"},
	"sqlite":   {"guard", "sqlstore"},
	"mongo":    {"guard"},
	"redis":    {"guard"},
	"memory":   {},
	"api":      {"telemetry"},
}

// beside are the packages that are neither: what each may import beyond other modules and, where domain is true, the domain.
var beside = map[string]struct {
	domain bool
	ours   []string
}{
	"guard":      {false, []string{"errs"}},
	"telemetry":  {false, nil},
	"importar":   {true, nil},
	"storetest":  {true, nil}, // the suite of tests that every adapter runs
	"cmd/siglab": {false, []string{""}},
}

// pkg is what the test needs of `go list -json`.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// TestDependencyRule holds the imports to the rule of the design: the domain at the bottom, each technology in one package, and
// one package that knows them all.
func TestDependencyRule(t *testing.T) {
	packages := list(t)
	level := map[string]int{}
	for i, names := range levels {
		for _, name := range names {
			level[name] = i
		}
	}
	standard := map[string]bool{}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	found := 0
	for _, p := range packages {
		name, ours := strings.CutPrefix(p.ImportPath, module+"app")
		name = strings.TrimPrefix(name, "/")
		if !ours || name == "" { // app itself imports them all
			continue
		}
		found++
		own, isDomain := level[name]
		technologies, isAdapter := adapters[name]
		other, isBeside := beside[name]
		if !isDomain && !isAdapter && !isBeside {
			t.Errorf("%s has no place in the rule: say where it stands", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			to, toOurs := strings.CutPrefix(imported, module+"app")
			to = strings.TrimPrefix(to, "/")
			toLevel, toDomain := level[to]
			switch {
			case standard[imported]:
			case !toOurs:
				if isDomain && !slices.Contains(helpers, imported) {
					t.Errorf("%s is of the domain and imports %s", p.ImportPath, imported)
				}
			case isDomain:
				if !toDomain || toLevel >= own {
					t.Errorf("%s imports %s, which does not lie below it", p.ImportPath, imported)
				}
			case isAdapter:
				if !toDomain && !slices.Contains(technologies, to) {
					t.Errorf("%s is an adapter and imports %s", p.ImportPath, imported)
				}
			case !(toDomain && other.domain) && !slices.Contains(other.ours, to):
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
		if isDomain {
			for _, dep := range p.Deps {
				if dep == "database/sql" || dep == "net/http" {
					t.Errorf("%s is of the domain and depends on %s, if only through others", p.ImportPath, dep)
				}
			}
		}
		if slices.Contains(p.Deps, module+"app/storetest") {
			t.Errorf("%s depends on the tests' package storetest outside its tests", p.ImportPath)
		}
	}
	if want := len(level) + len(adapters) + len(beside); found != want {
		t.Errorf("got %d packages below app, want the %d of the rule: remove from it what is gone", found, want)
	}
}

// list returns the packages of this repository and all that they depend on.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", module+"app/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
