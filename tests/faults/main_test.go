// Package faults_test breaks the servers that the service depends on, and the service itself, and holds what clients see against
// the design's table "When something is down". It drives the built program over HTTP from outside, against a MariaDB, a Redis and a
// FerretDB of its own, which .ci/servers starts; faults of the network come from toxiproxy, in this process, those of servers from
// signals to theirs.
//
// TEST_SIGLAB names the program, ../../bin/siglab when it is unset. Where the servers cannot be started, the tests are skipped, or
// fail with TEST_SERVERS=required.
package faults_test

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	toxins()
	code := m.Run()
	if err := endFarm(); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}
