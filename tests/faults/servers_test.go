package faults_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	goredis "github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// soon bounds every wait for a condition that must come true. It is far more than any takes, since a machine may be busy.
const soon = 60 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	within(t, soon, what, holds)
}

// within waits until a condition holds, and fails the test when that takes longer than it may.
func within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s after %s", what, limit)
		}
		time.Sleep(10 * time.Millisecond) // between two looks at the condition
	}
}

// farm is the three servers that the tests break. They are started by the first test that wants them, and shared by all.
type farm struct {
	dir                  string
	mysql, mongo, redis  *server
	dsn                  *mysqldriver.Config
	mongoAddr, redisAddr string
	redisPassword        string
	root                 *sql.DB // an account that may do anything
	documents            *mongo.Client
	keys                 *goredis.Client
	reaper               *exec.Cmd
	leash                io.Closer // the reaper ends the servers when this closes, which the end of this process does as well
}

var theFarm struct {
	once sync.Once
	farm *farm
	err  error
}

// servers returns the farm, or skips the test, or fails it where servers are required.
func servers(t *testing.T) *farm {
	t.Helper()
	theFarm.once.Do(func() { theFarm.farm, theFarm.err = startFarm() })
	if theFarm.err != nil {
		if os.Getenv("TEST_SERVERS") == "required" {
			t.Fatalf("MariaDB, Redis and FerretDB are required and could not be started: %v", theFarm.err)
		}
		t.Skipf("MariaDB, Redis and FerretDB could not be started: %v", theFarm.err)
	}
	return theFarm.farm
}

// script runs .ci/servers.
func script(args ...string) *exec.Cmd { return exec.Command("../../.ci/servers", args...) }

func startFarm() (f *farm, err error) {
	dir, err := os.MkdirTemp("", "siglab-faults-")
	if err != nil {
		return nil, err
	}
	f = &farm{dir: dir}
	// Whatever ends this process, a time limit or an interrupt included, the servers must not outlive it.
	f.reaper = exec.Command("sh", "-c", `cat >/dev/null; ../../.ci/servers stop "$1" >/dev/null 2>&1; rm -rf "$1"`, "reaper", dir)
	f.reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	leash, err := f.reaper.StdinPipe()
	if err != nil {
		return nil, err
	}
	f.leash = leash
	if err := f.reaper.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.close() // the first error tells more
		}
	}()
	if out, err := script("start", dir).CombinedOutput(); err != nil {
		return f, fmt.Errorf("%w\n%s", err, bytes.TrimSpace(out))
	}
	f.mysql, f.mongo, f.redis = &server{dir, "mariadb"}, &server{dir, "ferretdb"}, &server{dir, "redis"}
	read := func(name string) (text string) {
		if err == nil {
			var b []byte
			b, err = os.ReadFile(filepath.Join(dir, name))
			text = strings.TrimSpace(string(b))
		}
		return text
	}
	f.dsn = mysqldriver.NewConfig()
	f.dsn.Net, f.dsn.User, f.dsn.Passwd = "tcp", "siglab", read("mariadb.password")
	f.dsn.Addr = net.JoinHostPort("127.0.0.1", read("mariadb.port"))
	f.dsn.Timeout, f.dsn.ReadTimeout = 10*time.Second, 30*time.Second
	f.dsn.Logger = &mysqldriver.NopLogger{} // what the tests break is broken on purpose
	f.mongoAddr = net.JoinHostPort("127.0.0.1", read("ferretdb.port"))
	f.redisAddr, f.redisPassword = net.JoinHostPort("127.0.0.1", read("redis.port")), read("redis.password")
	if err != nil {
		return f, err
	}
	connector, err := mysqldriver.NewConnector(f.dsn)
	if err != nil {
		return f, err
	}
	f.root = sql.OpenDB(connector)
	f.documents, err = mongo.Connect(options.Client().ApplyURI("mongodb://" + f.mongoAddr))
	if err != nil {
		return f, err
	}
	f.keys = goredis.NewClient(&goredis.Options{Addr: f.redisAddr, Password: f.redisPassword})
	return f, nil
}

// endFarm stops the servers, if they were started.
func endFarm() error {
	if f := theFarm.farm; f != nil && theFarm.err == nil {
		return f.close()
	}
	return nil
}

func (f *farm) close() error {
	if f.root != nil {
		_ = f.root.Close()
	}
	if f.documents != nil {
		_ = f.documents.Disconnect(context.Background())
	}
	if f.keys != nil {
		_ = f.keys.Close()
	}
	_ = f.leash.Close()
	if err := f.reaper.Wait(); err != nil {
		return fmt.Errorf("stopping the servers in %s: %w", f.dir, err)
	}
	return nil
}

// server is one of the farm's processes.
type server struct{ dir, name string }

func (s *server) pid(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, s.name+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func (s *server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.pid(t), sig); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
}

// freeze stops the process as it is: its connections stay open, and nothing answers.
func (s *server) freeze(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGSTOP) }

// thaw lets a frozen process go on.
func (s *server) thaw(t testing.TB) { t.Helper(); s.signal(t, syscall.SIGCONT) }

// kill ends the process without giving it a chance to say good-bye.
func (s *server) kill(t testing.TB) {
	t.Helper()
	pid := s.pid(t)
	s.signal(t, syscall.SIGKILL)
	eventually(t, s.name+" to be gone", func() bool { return !alive(pid) })
}

// alive tells whether a process runs. One that nobody has waited for yet is dead as well.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ") // the name before it may hold anything
	return !strings.HasPrefix(rest, "Z")
}

// start runs the process again, on the same port and data, and returns when it answers.
func (s *server) start(t testing.TB) {
	t.Helper()
	if out, err := script("start", s.dir, s.name).CombinedOutput(); err != nil {
		t.Fatalf("%s does not start: %v\n%s", s.name, err, out)
	}
}

// stop ends the process as an operator would.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if out, err := script("stop", s.dir, s.name).CombinedOutput(); err != nil {
		t.Fatalf("%s does not stop: %v\n%s", s.name, err, out)
	}
}

// databases are a test's own, with an account that may read and write but not change tables, as in production.
type databases struct {
	*farm
	name     string // of both databases
	password string // of the account, which has the same name
	secrets  secrets
	sql      *sql.DB
	docs     *mongo.Database
}

// databases makes and migrates empty databases, and empties Redis.
func (f *farm) databases(t *testing.T) *databases {
	t.Helper()
	ctx := context.Background() // they are removed when the test's own context has ended
	d := &databases{farm: f, name: "fallas_" + strings.ToLower(rand.Text()[:10]), password: rand.Text(), secrets: newSecrets()}
	for _, statement := range []string{
		"CREATE DATABASE " + d.name + " CHARACTER SET utf8mb4",
		"CREATE USER '" + d.name + "'@'127.0.0.1' IDENTIFIED BY '" + d.password + "'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON " + d.name + ".* TO '" + d.name + "'@'127.0.0.1'",
	} {
		if _, err := f.root.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	own := f.dsn.Clone()
	own.DBName = d.name
	connector, err := mysqldriver.NewConnector(own)
	if err != nil {
		t.Fatal(err)
	}
	d.sql = sql.OpenDB(connector)
	d.docs = f.documents.Database(d.name)
	if err := f.keys.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.sql.Close()
		for _, statement := range []string{"DROP DATABASE " + d.name, "DROP USER '" + d.name + "'@'127.0.0.1'"} {
			if _, err := f.root.ExecContext(ctx, statement); err != nil {
				t.Error(err)
			}
		}
		if err := d.docs.Drop(ctx); err != nil {
			t.Error(err)
		}
	})
	migrate := newService(t, d, nil)
	migrate.env = append(migrate.env, "MYSQL_USER="+f.dsn.User, "MYSQL_PASSWORD="+f.dsn.Passwd)
	if out, err := migrate.command("migrate").CombinedOutput(); err != nil {
		t.Fatalf("siglab migrate: %v\n%s", err, out)
	}
	return d
}
