package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
)

// writers is how many clients add machines at once.
const writers = 16

// agregar compares adding a machine with its bare INSERT, into a table with the same columns and indexes: with commits that are on the disk
// before they are answered, which is a server's default, and with commits that are there a second later, which leaves nothing to hide behind.
func agregar(w *world) (err error) {
	service, limit, _, err := w.pair("agregar")
	if err != nil {
		return err
	}
	defer service.end()
	defer limit.end()
	var numbers atomic.Int64
	body := func(int64) any {
		n := numbers.Add(1)
		m := nthMachine(int(n))
		m.Codigo = fmt.Sprintf("NEW-%07d", n)
		return m
	}
	db, err := openDSN(w.mysql.FormatDSN())
	if err != nil {
		return err
	}
	defer db.Close()
	// What is set for all of the server is put back. One that never waits for the disk cannot show what waiting costs.
	var method string
	var before int
	if err := db.QueryRowContext(w.ctx, "SELECT @@innodb_flush_method, @@innodb_flush_log_at_trx_commit").Scan(&method, &before); err != nil {
		return err
	}
	if method == "nosync" {
		return errors.New("the MariaDB that -servers names never waits for its disk; start it with DURABLE=1")
	}
	setFlush := func(n int) error {
		_, err := db.ExecContext(context.WithoutCancel(w.ctx), fmt.Sprint("SET GLOBAL innodb_flush_log_at_trx_commit = ", n))
		return err
	}
	defer func() { err = errors.Join(err, setFlush(before)) }()
	for _, how := range []struct {
		name, target string
		flush        int
	}{{"commits on disk", "rate 0.7 or more", 1}, {"commits on disk a second later", "", 2}} {
		if err := setFlush(how.flush); err != nil {
			return err
		}
		c, err := w.compare("agregar, "+how.name+", beside one INSERT", target{service, post(service, "/api/maquinas/agregar", body), http.StatusCreated},
			target{limit, post(limit, "/agregar", body), http.StatusCreated}, writers)
		if err != nil {
			return err
		}
		w.promise("`agregar`, 16 writers, "+how.name, how.target, how.target == "" || c.rate.mid >= .7, "rate %s; CPU %s", c.rate, c.cost)
	}
	return nil
}
