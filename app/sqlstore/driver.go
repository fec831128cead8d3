package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"time"
)

// Observe is told of each statement that went to the database: its verb in capitals, its error, and how long it took. BEGIN, COMMIT
// and ROLLBACK count as statements. A key that exists is an answer and no error.
type Observe func(operation string, err error, d time.Duration)

// Connector wraps a driver's connector. setup statements run on each new connection. observe may be nil. It is here rather than in
// an instrumentation library because the two calls of the clock are then all that a statement costs.
func Connector(inner driver.Connector, dialect Dialect, observe Observe, setup ...string) driver.Connector {
	c := &connector{Connector: inner, observe: func(string, error, time.Duration) {}, setup: setup}
	if observe != nil {
		c.observe = func(operation string, err error, d time.Duration) {
			if err != nil && dialect.Duplicate(err) {
				err = nil
			}
			observe(operation, err, d)
		}
	}
	return c
}

type connector struct {
	driver.Connector
	observe Observe
	setup   []string
}

// driverConn is what both drivers' connections can do.
type driverConn interface {
	driver.Conn
	driver.Pinger
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.SessionResetter
	driver.Validator
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	dc, ok := inner.(driverConn)
	if !ok {
		_ = inner.Close()
		return nil, errors.New("sqlstore: the driver's connections lack a method")
	}
	for _, statement := range c.setup {
		if _, err := dc.ExecContext(ctx, statement, nil); err != nil {
			_ = inner.Close()
			return nil, err
		}
	}
	if checker, ok := inner.(driver.NamedValueChecker); ok {
		return &checkingConn{conn{dc, c.observe}, checker}, nil
	}
	return &conn{dc, c.observe}, nil
}

// Close closes the driver's connector if it can be closed.
func (c *connector) Close() error {
	if inner, ok := c.Connector.(io.Closer); ok {
		return inner.Close()
	}
	return nil
}

type conn struct {
	driverConn
	observe Observe
}

type checkingConn struct {
	conn
	driver.NamedValueChecker
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	start := time.Now()
	result, err := c.driverConn.ExecContext(ctx, query, args)
	if err != driver.ErrSkip {
		c.observe(Verb(query), err, time.Since(start))
	}
	return result, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	start := time.Now()
	rows, err := c.driverConn.QueryContext(ctx, query, args)
	if err != driver.ErrSkip {
		c.observe(Verb(query), err, time.Since(start))
	}
	return rows, err
}

func (c *conn) Ping(ctx context.Context) error {
	start := time.Now()
	err := c.driverConn.Ping(ctx)
	c.observe("PING", err, time.Since(start))
	return err
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	start := time.Now()
	inner, err := c.driverConn.BeginTx(ctx, opts)
	c.observe("BEGIN", err, time.Since(start))
	if err != nil {
		return nil, err
	}
	return &tx{inner, c.observe}, nil
}

type tx struct {
	driver.Tx
	observe Observe
}

func (t *tx) Commit() error {
	start := time.Now()
	err := t.Tx.Commit()
	t.observe("COMMIT", err, time.Since(start))
	return err
}

func (t *tx) Rollback() error {
	start := time.Now()
	err := t.Tx.Rollback()
	t.observe("ROLLBACK", err, time.Since(start))
	return err
}

// Verb returns the first word of a statement: SELECT, INSERT, UPDATE, DELETE; DDL for those that change the schema.
func Verb(statement string) string {
	statement = strings.TrimLeft(statement, " \t\n")
	word, _, _ := strings.Cut(statement, " ")
	switch word = strings.TrimSpace(word); word {
	case "CREATE", "ALTER", "DROP", "RENAME":
		return "DDL"
	}
	return word
}
