package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommittedFilesAreWhatItWrites(t *testing.T) {
	for name, want := range generate() {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what the generator writes: run go run ./tests/datos/generar", name)
		}
	}
}

func TestCounts(t *testing.T) {
	files := generate()
	places := map[string]bool{}
	for _, a := range areas {
		places[a.name] = true
	}
	if got, want := len(places), 12; got != want {
		t.Errorf("areas: got %d, want %d", got, want)
	}
	for name, want := range map[string]int{"maquinas.csv": machines, "mantenimientos.csv": records} {
		if got := strings.Count(files[name], "\n") - 1; got != want {
			t.Errorf("%s: got %d lines after the header, want %d", name, got, want)
		}
	}
}
