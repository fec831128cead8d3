// Command ferretdb runs FerretDB on its SQLite backend: a server that speaks MongoDB's
// protocol, for tests on a machine that has no MongoDB.
//
// FerretDB's own command cannot be built from its module, which lacks a generated
// version file, so this one uses the package that the project offers for embedding.
// That package keeps no accounts, so the address has to be a loopback one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	os.Exit(run())
}

func run() int {
	addr := flag.String("listen-addr", "", "loopback `address` and port to listen on, as 127.0.0.1:27017")
	dir := flag.String("state-dir", "", "`folder` that holds the databases; made when it is missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := serve(ctx, *addr, *dir); {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		return 2
	case err != nil:
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		return 1
	}
	return 0
}

// errUsage marks an error in the flags.
var errUsage = errors.New("usage")

// serve runs FerretDB on addr with its databases in dir until ctx ends.
func serve(ctx context.Context, addr, dir string) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsLoopback() {
		return fmt.Errorf("%w: -listen-addr %q is not a loopback address with a port", errUsage, addr)
	}
	if dir == "" {
		return fmt.Errorf("%w: -state-dir is missing", errUsage)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// The backend takes a folder only when the URI ends in a slash. A commit survives the end of the process, not of the machine,
	// which is all that a test asks, and a busy disk is not waited for.
	uri := url.URL{Scheme: "file", Path: dir + "/", RawQuery: "_pragma=synchronous(off)"}
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: addr},
		Handler:   "sqlite",
		SQLiteURL: uri.String(),
		// A query that the stand-in refuses is an error that its client reports; here only trouble of its own counts.
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	return db.Run(ctx)
}
