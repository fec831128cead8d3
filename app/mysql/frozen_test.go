package mysql_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"siglab/app/errs"
	"siglab/app/guard"
	"siglab/app/maquinas"
	"siglab/app/mysql"
	"siglab/app/sqlstore"
	"siglab/app/usuarios"
)

// freezer stands between the service and a real server, and can stop passing answers on: connections stay open, and nothing comes.
type freezer struct {
	mu     sync.Mutex
	thawed *sync.Cond
	frozen bool
	closed bool
}

func newFreezer(t *testing.T, cfg mysql.Config) (*freezer, mysql.Config) {
	t.Helper()
	f := new(freezer)
	f.thawed = sync.NewCond(&f.mu)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				all.Go(func() {
					defer way[0].Close()
					defer way[1].Close()
					buffer := make([]byte, 64<<10)
					for {
						n, err := way[0].Read(buffer)
						f.wait()
						if _, werr := way[1].Write(buffer[:n]); err != nil || werr != nil {
							return
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.set(func() { f.closed = true })
		all.Wait()
	})
	cfg.Port = l.Addr().(*net.TCPAddr).Port
	return f, cfg
}

func (f *freezer) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.thawed.Broadcast()
}

func (f *freezer) freeze() { f.set(func() { f.frozen = true }) }
func (f *freezer) thaw()   { f.set(func() { f.frozen = false }) }

func (f *freezer) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.frozen && !f.closed {
		f.thawed.Wait()
	}
}

// TestFrozen freezes the server before a call and between any two statements of one. The call ends in time, and afterwards all is as
// it was or as it should be.
func TestFrozen(t *testing.T) {
	cfg := newDatabase(t)
	if err := mysql.Migrate(t.Context(), cfg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	f, cfg := newFreezer(t, cfg)
	cfg.Timeout = time.Second
	var until atomic.Int64 // statements until the server freezes
	cfg.Observe = func(string, error, time.Duration) {
		if until.Add(-1) == 0 {
			f.freeze()
		}
	}
	db := openPool(t, cfg)
	for after := range 6 {
		d := &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}
		m, u := &sqlstore.Maquinas{DB: d}, &sqlstore.Usuarios{DB: d}
		code := fmt.Sprint("PC-", after)
		for name, call := range map[string]func(ctx context.Context) error{
			"ByCodigo": func(ctx context.Context) error { _, err := m.ByCodigo(ctx, code); return err },
			"Insert with a key": func(ctx context.Context) error {
				_, _, err := m.Insert(ctx, aMachine("nueva-"+code), key(code))
				return err
			},
			"Update": func(ctx context.Context) error {
				_, err := m.Update(ctx, code, func(m maquinas.Maquina) (maquinas.Maquina, error) { return m, nil })
				return err
			},
			"Delete": func(ctx context.Context) error {
				_, err := m.Delete(ctx, "borrable-"+code, func(maquinas.Maquina) error { return nil })
				return err
			},
			"Revoke": func(ctx context.Context) error {
				return u.Revoke(ctx, usuarios.Revocation{Session: code, Expires: time.Now().Add(time.Hour)})
			},
		} {
			t.Run(fmt.Sprintf("%s after %d statements", name, after), func(t *testing.T) {
				d.Guard = nil
				there := []string{code}
				if name == "Delete" {
					there = append(there, "borrable-"+code)
				}
				for _, c := range there {
					if _, _, err := m.Insert(t.Context(), aMachine(c), nil); err != nil && errs.KindOf(err) != errs.Conflict {
						t.Fatal(err)
					}
				}
				d.Guard = guard.New(cfg.Timeout, mysql.Outage, nil)
				if after == 0 {
					f.freeze()
				}
				until.Store(int64(after))
				start := time.Now()
				err := call(t.Context())
				took := time.Since(start)
				until.Store(0)
				f.thaw()
				// It had ended before the server froze, or it says that the server does not answer.
				if kind := errs.KindOf(err); err != nil && kind != errs.Unavailable || after == 0 && err == nil {
					t.Errorf("got %v, want Unavailable", err)
				}
				if limit := 2*cfg.Timeout + time.Second; took > limit {
					t.Errorf("it took %v, want at most %v", took, limit)
				}
				d.Guard = nil
				start = time.Now()
				if _, err := m.ByCodigo(t.Context(), code); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				if took := time.Since(start); took > 3*cfg.Timeout {
					t.Errorf("afterwards a call took %v", took)
				}
			})
		}
	}
	// What an interrupted transaction had locked is free, and a machine and its entry in the outbox go together.
	d := &sqlstore.DB{Read: db, Write: db, Dialect: mysql.Dialect()}
	m := &sqlstore.Maquinas{DB: d}
	for after := range 6 {
		code := fmt.Sprint("PC-", after)
		if _, err := m.Update(t.Context(), code, func(m maquinas.Maquina) (maquinas.Maquina, error) { return m, nil }); err != nil {
			t.Errorf("Update in the end: %v", err)
		}
		if _, _, err := m.Insert(t.Context(), aMachine("nueva-"+code), key(code)); err != nil {
			t.Errorf("the retry of an Insert: %v", err)
		}
		_, err := m.ByCodigo(t.Context(), "borrable-"+code)
		noted := texts(t, db, "SELECT COUNT(*) FROM borrados WHERE codigo = 'borrable-"+code+"'")[0][0]
		if gone := errs.KindOf(err) == errs.NotFound; gone != (noted == "1") {
			t.Errorf("borrable-%s: gone %v, %s entries in the outbox", code, gone, noted)
		}
	}
}
