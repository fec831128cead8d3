package app_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"siglab/app"
)

// The README lists every variable of the configuration, and no other.
func TestReadmeListsTheConfiguration(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(b), "\n## Configuration\n")
	if !ok {
		t.Fatal("the README has no section Configuration")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]bool{}
	for _, line := range strings.Split(section, "\n") {
		cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !ok || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, name := range strings.Split(cell, ", ") {
			listed[strings.Trim(name, "`")] = true
		}
	}
	delete(listed, "OTEL_*") // OpenTelemetry's libraries read them themselves
	for _, f := range reflect.VisibleFields(reflect.TypeFor[app.Config]()) {
		name := f.Tag.Get("envconfig")
		if !listed[name] {
			t.Errorf("%s is not in the README", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("the README has %s, which is no variable", name)
	}
}
