// Package sqlstore keeps machines, accounts and revocations in SQL that MySQL, MariaDB and SQLite all understand, so that each
// statement stands once. What the databases do not share is in Dialect; tables and connections are the adapters' business.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"siglab/app/errs"
	"siglab/app/guard"
)

// Dialect is where databases differ.
type Dialect struct {
	ForUpdate  string // after a SELECT: locks its rows until the transaction ends
	SkipLocked string // the same, but leaves out rows that are locked already
	NowMS      string // an expression: the database's clock in milliseconds since 1970
	// Duplicate says that a row with this key exists.
	Duplicate func(error) bool
	// Contended says that the transaction lost against others, has left nothing behind and may be tried again at once.
	Contended func(error) bool
	// Locked says that it waited for others and they did not end; it would wait as long again.
	Locked func(error) bool
	// Lost says that the connection broke before the answer was there. What was sent may have been done.
	Lost func(error) bool
}

// DB is an open database whose tables exist.
type DB struct {
	// Read and Write are the pools of reading and writing connections; the same one where the database itself puts writers in
	// order.
	Read, Write *sql.DB
	Dialect     Dialect
	Guard       *guard.Guard     // around every method; nil calls straight through
	Now         func() time.Time // nil is time.Now
}

func (db *DB) now() time.Time {
	if db.Now != nil {
		return db.Now()
	}
	return time.Now()
}

// queryer is what *sql.DB and *sql.Tx share.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// attempts is how often a transaction is tried that loses against others.
const attempts = 8

// try calls f again while it loses against other transactions. When it has lost every time, or has waited too long, the error is
// Unavailable; the database works, so it is none that its guard counts.
func (db *DB) try(ctx context.Context, f func() error) error {
	for i := 1; ; i++ {
		err := f()
		locked := err != nil && db.Dialect.Locked(err)
		if err == nil || !locked && !db.Dialect.Contended(err) {
			return err
		}
		if locked || i == attempts {
			return &errs.Error{
				Kind:       errs.Unavailable,
				Message:    "Otras operaciones ocupan el mismo registro; intente de nuevo en unos segundos.",
				RetryAfter: time.Second,
				Cause:      err,
			}
		}
		pause := time.NewTimer(rand.N(time.Duration(i) * 4 * time.Millisecond)) // at random, or those that collided collide again
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}

// read runs f, which only reads, under the guard, and again on another connection when the one it had broke, as all do when the
// database is restarted.
func (db *DB) read(ctx context.Context, f func(ctx context.Context) error) error {
	return db.do(ctx, func(ctx context.Context) error {
		for i := 1; ; i++ {
			err := f(ctx)
			if err == nil || i == 3 || ctx.Err() != nil || !db.Dialect.Lost(err) {
				return err
			}
		}
	})
}

// inTx runs f in a transaction and commits it if f returns nil. f may run several times; what it keeps outside must be set anew by
// each.
func (db *DB) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return db.try(ctx, func() error {
		tx, err := db.Write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := f(tx); err != nil {
			_ = tx.Rollback() // the first error tells more, and a connection that cannot roll back is closed
			return err
		}
		return tx.Commit()
	})
}

// rejected carries an error of the domain out of a transaction, past what judges the database's own errors.
type rejected struct{ err error }

func (r *rejected) Error() string { return r.err.Error() }

// do runs call under the guard. A rejected error comes back as what it carries, and the database is not blamed for it.
func (db *DB) do(ctx context.Context, call func(ctx context.Context) error) error {
	var no *rejected
	err := db.Guard.Do(ctx, func(ctx context.Context) error {
		err := call(ctx)
		if errors.As(err, &no) {
			return nil
		}
		return err
	})
	if err == nil && no != nil {
		return no.err
	}
	return err
}

// where collects the conditions of a query. Conditions are constant texts; values are always arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

// String returns the conditions as a WHERE clause, or "" when there are none.
func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// marks returns n question marks with commas between them.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

// textual says that a column of text can hold each of these. Nothing stored equals or contains a text that is not UTF-8, and MySQL
// refuses to compare with one.
func textual(texts ...string) bool {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return false
		}
	}
	return true
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
