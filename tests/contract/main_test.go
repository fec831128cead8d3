package contract_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
)

// binaryDir is where the tests that need the built program build it.
var binaryDir string

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given { // each check is dozens of requests
		_ = flag.Set("rapid.checks", "25")
	}
	dir, err := os.MkdirTemp("", "siglab-contract-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	code := m.Run()
	for _, cleanup := range slices.Backward(shared.cleanups) {
		cleanup()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
