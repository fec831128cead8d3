package contract_test

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"siglab/app"
)

// TestImportOfTheSamples loads the sample campus, twice, and reads it over HTTP.
func TestImportOfTheSamples(t *testing.T) {
	eachStore(t, func(t *testing.T, c app.Config) {
		samples := filepath.Join(repositoryRoot(t), "tests", "datos")
		files := []string{filepath.Join(samples, "maquinas.csv"), filepath.Join(samples, "mantenimientos.csv")}
		for _, want := range [][]string{
			{"400 máquinas nuevas, 0 ya estaban.", "2500 mantenimientos nuevos, 0 ya estaban."},
			{"0 máquinas nuevas, 400 ya estaban.", "0 mantenimientos nuevos, 2500 ya estaban."},
		} {
			var out, said bytes.Buffer
			if err := app.Import(t.Context(), app.Options{Config: c, Stdout: io.Discard, Stderr: &said}, files, &out, false); err != nil {
				t.Fatalf("import: %v\n%s", err, said.String())
			}
			for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
				same(t, "summary", line, files[i]+": "+want[i])
			}
		}
		s := start(t, c)
		d := s.admin.get("/api/maquinas/dashboard").want(200).object()
		same(t, "total_maquinas", d["total_maquinas"].(float64), 400)
		same(t, "areas", len(d["maquinas_por_area"].(object)), 12)
		same(t, "mantenimientos", d["mantenimientos"].(object)["total"].(float64), 2500)
		total := 0.0
		for _, row := range s.admin.get("/api/mantenimientos/informe").want(200).list() {
			total += row["total_mantenimientos"].(float64)
		}
		same(t, "records in the informe", total, 2500)
	})
}
