package sqlite_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"siglab/app/sqlite"
)

func TestWatchSeesOtherProcessesAlone(t *testing.T) {
	dir := t.TempDir()
	open := func() *sqlite.DB {
		db, err := sqlite.Open(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	ours, theirs := open(), open()
	write := func(db *sqlite.DB) {
		t.Helper()
		if _, err := db.Write.ExecContext(t.Context(), `CREATE TABLE IF NOT EXISTS t (n INTEGER)`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write.ExecContext(t.Context(), `INSERT INTO t VALUES (1)`); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	changes := make(chan struct{}, 100)
	var watching sync.WaitGroup
	watching.Go(func() { ours.Watch(ctx, time.Millisecond, func() { changes <- struct{}{} }) })
	defer watching.Wait()
	defer stop()

	for range 20 {
		write(ours)
	}
	if n := len(changes); n != 0 {
		t.Errorf("our own writes were seen as %d changes, want none", n)
	}
	// The first look may not have been taken yet when the other writes, so it writes until it is seen.
	deadline := time.After(20 * time.Second)
	for {
		write(theirs)
		select {
		case <-changes:
			return
		case <-deadline:
			t.Fatal("another's writes were not seen")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
