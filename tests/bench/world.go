package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// world is the databases and what else all works share.
type world struct {
	options
	ctx      context.Context
	dir      string // for files
	started  bool   // the servers are this program's own
	mysql    *mysql.Config
	mongo    *url.URL
	redis    *url.URL
	key      string
	user     string
	password string
	inUse    int // Redis databases given out
	results  []result
}

func newWorld(ctx context.Context, o options) (w *world, err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, as its documentation says
	w = &world{options: o, ctx: ctx, key: "k1:" + base64.StdEncoding.EncodeToString(key), user: "jefa", password: rand.Text()}
	if w.dir, err = os.MkdirTemp("", "siglab-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := os.Chmod(w.dir, 0o711); err != nil { // MariaDB's own user goes through it
		return nil, err
	}
	if w.servers == "" {
		w.servers, w.started = filepath.Join(w.dir, "servers"), true
		start := exec.CommandContext(ctx, "../../.ci/servers", "start", w.servers)
		start.Env = append(os.Environ(), "DURABLE=1", "BUFFER_POOL=512M")
		start.Stderr = os.Stderr
		if err := start.Run(); err != nil {
			return nil, fmt.Errorf("starting the databases: %w", err)
		}
	}
	env, err := shellVariables(filepath.Join(w.servers, "env"))
	if err != nil {
		return nil, err
	}
	if w.mysql, err = mysql.ParseDSN(env["TEST_MYSQL_DSN"]); err != nil {
		return nil, err
	}
	if w.mongo, err = url.Parse(env["TEST_MONGO_URI"]); err != nil {
		return nil, err
	}
	w.redis, err = url.Parse(env["TEST_REDIS_URL"])
	return w, err
}

func (w *world) close() {
	if w.started {
		_ = exec.Command("../../.ci/servers", "stop", w.servers).Run()
	}
	_ = os.RemoveAll(w.dir)
}

// shellVariables reads lines of `export NAME='value'`.
func shellVariables(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		all[name] = strings.Trim(value, "'")
	}
	return all, lines.Err()
}

// databases are one set of data: a database in each server.
type databases struct {
	w     *world
	name  string
	redis int
}

// fresh makes an empty set of databases with the service's tables.
func (w *world) fresh(name string) (*databases, error) {
	d := &databases{w: w, name: "bench_" + name, redis: w.inUse}
	w.inUse++
	if w.inUse > 16 {
		return nil, errors.New("no Redis database is left")
	}
	db, err := openDSN(w.mysql.FormatDSN())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + d.name, "CREATE DATABASE " + d.name + " CHARACTER SET utf8mb4"} {
		if _, err := db.ExecContext(w.ctx, statement); err != nil {
			return nil, err
		}
	}
	if err := d.siglab("migrate"); err != nil {
		return nil, err
	}
	sql, err := d.open()
	if err != nil {
		return nil, err
	}
	defer sql.Close()
	_, err = sql.ExecContext(w.ctx, "CREATE TABLE "+limitTable+" LIKE maquinas")
	return d, err
}

func (d *databases) dsn() string {
	c := *d.w.mysql
	c.DBName = d.name
	return c.FormatDSN()
}

func (d *databases) open() (*sql.DB, error) { return openDSN(d.dsn()) }

func (d *databases) redisURL() string {
	u := *d.w.redis
	u.Path = "/" + strconv.Itoa(d.redis)
	return u.String()
}

// secrets is what every service is given.
func (w *world) secrets() []string {
	return []string{"JWT_KEYS=" + w.key, "ADMIN_USERNAME=" + w.user, "ADMIN_PASSWORD=" + w.password, "BCRYPT_COST=10", "DRAIN_DELAY=0s"}
}

func (d *databases) env() []string {
	host, port, _ := strings.Cut(d.w.mysql.Addr, ":")
	return append(d.w.secrets(),
		"MYSQL_HOST="+host, "MYSQL_PORT="+port, "MYSQL_USER="+d.w.mysql.User, "MYSQL_PASSWORD="+d.w.mysql.Passwd, "MYSQL_DATABASE="+d.name,
		"MONGO_URI="+d.w.mongo.String(), "MONGO_DATABASE="+d.name, "REDIS_URL="+d.redisURL())
}

// siglab runs one of the service's commands.
func (d *databases) siglab(args ...string) error {
	return runSiglab(d.w, d.env(), args...)
}

func runSiglab(w *world, env []string, args ...string) error {
	cmd := exec.CommandContext(w.ctx, w.options.siglab, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("siglab %s: %w: %s", args[0], err, out)
	}
	return nil
}

// service starts a service on the measured processor, waits until it serves, and logs in.
func (d *databases) service(name string, env ...string) (*process, error) {
	return startService(d.w, name, append(d.env(), env...))
}

// serving is a service's environment with its addresses and its name.
func serving(env []string, name string) func(addr, internal string) []string {
	return func(addr, internal string) []string {
		return slices.Concat([]string{"HOST=127.0.0.1", "PORT=" + portOf(addr), "METRICS_PORT=" + portOf(internal), "SERVER_ID=" + name}, env)
	}
}

func startService(w *world, name string, env []string) (*process, error) {
	p, err := begin(name, w.options.siglab, serving(env, name))
	if err != nil {
		return nil, err
	}
	if err = p.ready(w.ctx, "/api/sistema/health"); err == nil {
		err = p.login(w.user, w.password)
	}
	if err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// limit starts the bare handlers on the measured processor. plain and gzip are the list that they answer.
func (d *databases) limit(plain, gzip []byte) (*process, error) {
	files := map[string][]byte{"plain.json": plain, "plain.json.gz": gzip}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(d.w.dir, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := begin("limit", self, func(addr, internal string) []string {
		return []string{envAddr + "=" + addr, envInternal + "=" + internal, envRedis + "=" + d.redisURL(), envMySQL + "=" + d.dsn(),
			envPlain + "=" + filepath.Join(d.w.dir, "plain.json"), envGzip + "=" + filepath.Join(d.w.dir, "plain.json.gz")}
	}, "limit", "serve")
	if err != nil {
		return nil, err
	}
	if err := p.ready(d.w.ctx, "/memory"); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// fill adds machines, from the number from on.
func (d *databases) fill(from, to int) error {
	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	var rows []any
	for n := from; n < to; n++ {
		if rows = append(rows, nthMachine(n).row()...); len(rows) == 7*importBatch || n == to-1 {
			if _, err := db.ExecContext(d.w.ctx, insertInto("maquinas", len(rows)/7), rows...); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	_, err = db.ExecContext(d.w.ctx, "ANALYZE TABLE maquinas")
	return err
}

// nthMachine is a machine like those of a university: 40 areas, four years, three in four in order.
func nthMachine(n int) machine {
	m := machine{Codigo: fmt.Sprintf("LAB-%07d", n), Tipo: "PC", Estado: "operativa", Area: fmt.Sprintf("Laboratorio de Cómputo %d", n*7%40),
		Fecha: fmt.Sprintf("%d-%02d-%02d", 2022+n%4, 1+n/4%12, 1+n/48%28), Usuario: ""}
	if n%5 == 0 {
		m.Tipo = "IMP"
	}
	switch n % 8 {
	case 3:
		m.Estado = "en mantenimiento"
	case 6:
		m.Estado = "fuera de servicio"
	}
	if n%3 == 0 {
		m.Usuario = fmt.Sprintf("Persona %d", n%200)
	}
	return m
}
