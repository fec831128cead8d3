package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

// imports compares `siglab import`, which checks every line and announces what it wrote, with INSERTs of many rows by the bare driver.
func imports(w *world) error {
	file, _, err := w.files(w.imported)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var ratios, times []float64
	for range min(w.rounds, 5) {
		d, err := w.fresh("import")
		if err != nil {
			return err
		}
		w.inUse-- // the next one may have its Redis database
		run := func(program string, env []string, args ...string) (time.Duration, error) {
			cmd := exec.CommandContext(w.ctx, program, args...)
			cmd.Env = env
			cmd.Stderr = os.Stderr
			began := time.Now()
			if err := startMeasured(cmd); err != nil {
				return 0, err
			}
			err := cmd.Wait()
			return time.Since(began), err
		}
		ours, err := run(w.options.siglab, d.env(), "import", file)
		if err != nil {
			return err
		}
		bare, err := run(self, []string{envMySQL + "=" + d.dsn()}, "limit", "import", file, limitTable)
		if err != nil {
			return err
		}
		if err := d.same(w.imported); err != nil {
			return err
		}
		ratios, times = append(ratios, ours.Seconds()/bare.Seconds()), append(times, ours.Seconds())
	}
	fmt.Printf("%d machines in %.1f s, beside the bare INSERTs %s\n", w.imported, spreadOf(times).mid, spreadOf(ratios))
	s := spreadOf(ratios)
	w.promise(fmt.Sprintf("`import` of %d machines", w.imported), "time 2 at most", s.mid <= 2, "time %s", s)
	return nil
}

// same holds both tables to the same rows.
func (d *databases) same(rows int) error {
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for _, table := range []string{"maquinas", limitTable} {
		var n int
		if err := db.QueryRowContext(d.w.ctx, "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
			return err
		}
		if n != rows {
			return fmt.Errorf("%s has %d rows instead of %d", table, n, rows)
		}
	}
	return nil
}
