package contract_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "siglab")
	out, err := exec.Command("go", "build", "-o", path, "siglab/app/cmd/siglab").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// binary is the built program.
func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is the program running `siglab serve` on its own.
type process struct {
	service
	cmd *exec.Cmd
}

// environment is what a process of a test sees: nothing of this one's configuration.
func environment(dir, password string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "HOST=127.0.0.1", "PORT=0", "METRICS_PORT=0", "DATA_DIR=" + dir, "ADMIN_USERNAME=jefa",
		"ADMIN_PASSWORD=" + password, "BCRYPT_COST=10", "DRAIN_DELAY=0s", "LOGIN_RATE_USER=100000", "LOGIN_RATE_ADDRESS=100000",
	}
}

// serve starts the program and waits until its log says that it is ready, and where.
func serve(t *testing.T, dir, password string) *process {
	t.Helper()
	cmd := exec.Command(binary(t), "serve")
	cmd.Env = environment(dir, password)
	cmd.Stderr = t.Output()
	log, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ready := make(chan string, 1)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var entry struct{ Message, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Message == "ready" {
				ready <- entry.Address
				break
			}
		}
		_, _ = io.Copy(io.Discard, log)
	}()
	p := &process{cmd: cmd}
	select {
	case address, ok := <-ready:
		if !ok {
			t.Fatal("the program ended before it was ready")
		}
		p.url = "http://" + address
	case <-time.After(soon):
		t.Fatal("the program was not ready in time")
	}
	p.anon = p.client(t)
	p.admin = p.login(t, "jefa", password)
	return p
}

// kill ends the program as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// TestKilledDuringWrites kills the program while clients write, and starts it again: what was answered with 2xx is there, with the
// keys nothing is there twice, and no record is without its machine.
func TestKilledDuringWrites(t *testing.T) {
	const rounds, writers = 4, 4
	dir, password := t.TempDir(), rand.Text()
	acknowledged := map[string]bool{} // codes
	deleted := map[string]bool{}
	recorded := map[string]string{} // _id by observaciones
	tried := map[string]bool{}      // observaciones
	for round := range rounds {
		p := serve(t, dir, password)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var writing sync.WaitGroup
		answered := make(chan struct{}, 1<<16)
		for w := range writers {
			writing.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					codigo := fmt.Sprintf("R%d-W%d-%d", round, w, i)
					a, err := p.admin.with("Idempotency-Key", codigo).try(ctx, "POST", "/api/maquinas/agregar", machine(codigo))
					if err != nil {
						return
					}
					if a.status != 201 {
						t.Errorf("agregar: got %d %s", a.status, a.text())
						return
					}
					mu.Lock()
					acknowledged[codigo] = true
					tried[codigo] = true
					mu.Unlock()
					a, err = p.admin.with("Idempotency-Key", codigo).try(ctx, "POST", "/api/mantenimientos/agregar", record(codigo, object{"observaciones": codigo}))
					if err != nil {
						return
					}
					mu.Lock()
					recorded[codigo] = a.object()["_id"].(string)
					mu.Unlock()
					if i%3 == 0 {
						mu.Lock()
						deleted[codigo] = true // from here on either outcome is right
						mu.Unlock()
						if _, err = p.admin.try(ctx, "DELETE", "/api/maquinas/eliminar/"+codigo, nil); err != nil {
							return
						}
						mu.Lock()
						delete(acknowledged, codigo)
						delete(recorded, codigo)
						mu.Unlock()
					}
					answered <- struct{}{}
				}
			})
		}
		for range 40 + 17*round { // kill at another moment each time
			<-answered
		}
		p.kill()
		cancel()
		writing.Wait()

		p = serve(t, dir, password)
		t.Log("A retry of what was on its way finishes or repeats, and never adds.")
		for codigo, id := range recorded {
			if deleted[codigo] {
				continue
			}
			a := p.admin.with("Idempotency-Key", codigo).post("/api/mantenimientos/agregar", record(codigo, object{"observaciones": codigo})).want(201)
			same(t, "_id of a retried record", a.object()["_id"].(string), id)
		}
		codes := p.admin.get("/api/maquinas/listar").want(200).column("codigo")
		there := map[string]bool{}
		for _, codigo := range codes {
			if there[codigo] {
				t.Errorf("%s is there twice", codigo)
			}
			there[codigo] = true
		}
		for codigo := range acknowledged {
			if !there[codigo] && !deleted[codigo] {
				t.Errorf("%s was answered with 201 and is gone", codigo)
			}
		}
		records := map[string]int{}
		all := p.admin.get("/api/mantenimientos/todos?limite=10000").want(200).list()
		for _, r := range all {
			text := r["observaciones"].(string)
			if records[text]++; records[text] > 1 {
				t.Errorf("the record of %s is there twice", text)
			}
		}
		for codigo := range recorded {
			if records[codigo] == 0 && !deleted[codigo] {
				t.Errorf("the record of %s was answered with 201 and is gone", codigo)
			}
		}
		eventually(t, "no record to be without its machine", func() bool {
			there := p.admin.get("/api/maquinas/listar").want(200).column("codigo")
			return !slices.ContainsFunc(p.admin.get("/api/mantenimientos/todos?limite=10000").want(200).column("codigo_maquina"),
				func(codigo string) bool { return !slices.Contains(there, codigo) })
		})
		p.kill()
		for codigo := range deleted { // settled by now; either way is right, so neither is looked at again
			delete(acknowledged, codigo)
			delete(recorded, codigo)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was written")
	}
}

// TestImportCompletesAfterAKill kills `siglab import` in the middle and runs it again.
func TestImportCompletesAfterAKill(t *testing.T) {
	dir, password := t.TempDir(), rand.Text()
	samples := filepath.Join(repositoryRoot(t), "tests", "datos")
	files := []string{filepath.Join(samples, "mantenimientos.csv"), filepath.Join(samples, "maquinas.csv")}
	command := func() *exec.Cmd {
		cmd := exec.Command(binary(t), append([]string{"import"}, files...)...)
		cmd.Env = environment(dir, password)
		return cmd
	}
	// Wherever these end it, the outcome is the same.
	for _, after := range []time.Duration{150 * time.Millisecond, 300 * time.Millisecond, 450 * time.Millisecond} {
		cmd := command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		stop.Stop()
	}
	var summary string
	for range 2 {
		cmd := command()
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("import: %v\n%s", err, stderr.String())
		}
		summary = string(out)
	}
	for _, want := range []string{"mantenimientos.csv: 0 mantenimientos nuevos, 2500 ya estaban.\n", "maquinas.csv: 0 máquinas nuevas, 400 ya estaban.\n"} {
		if !strings.Contains(summary, want) {
			t.Errorf("the last summary: got %q, want %q in it", summary, want)
		}
	}
	p := serve(t, dir, password)
	same(t, "machines", p.admin.get("/api/maquinas/listar?limite=1").want(200).header.Get("X-Total-Count"), "400")
	same(t, "records", p.admin.get("/api/mantenimientos/todos?limite=1").want(200).header.Get("X-Total-Count"), "2500")
	d := p.admin.get("/api/maquinas/dashboard").want(200).object()
	same(t, "areas", len(d["maquinas_por_area"].(object)), 12)
}

// TestFirstRun starts the program with nothing but an empty folder: it makes an admin, says so once, and keeps both it and the
// sessions.
func TestFirstRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "datos")
	run := func() (p *process, said string) {
		var stderr lockedBuffer
		cmd := exec.Command(binary(t), "serve")
		for _, v := range environment(dir, "") {
			if !strings.HasPrefix(v, "ADMIN_") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		cmd.Stderr = &stderr
		log, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		p = &process{cmd: cmd}
		lines := bufio.NewScanner(log)
		for p.url == "" && lines.Scan() {
			var entry struct{ Message, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Message == "ready" {
				p.url = "http://" + entry.Address
			}
		}
		go func() { _, _ = io.Copy(io.Discard, log) }()
		if p.url == "" {
			t.Fatalf("the program did not start: %s", stderr.String())
		}
		p.anon = p.client(t)
		return p, stderr.String()
	}
	p, said := run()
	_, after, ok := strings.Cut(said, "password ")
	if !ok {
		t.Fatalf("no password was shown: %s", said)
	}
	password := strings.Fields(after)[0]
	session := p.login(t, "admin", password)
	session.post("/api/maquinas/agregar", machine("A-1")).want(201)
	p.kill()
	p, said = run()
	if strings.Contains(said, "password") {
		t.Errorf("the second start shows a password again: %s", said)
	}
	session.base = p.url
	session.get("/api/maquinas/buscar?codigo=a-1").want(200)
	p.login(t, "admin", password)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		t.Errorf("DATA_DIR: got mode %v, want one that is the owner's alone", info.Mode().Perm())
	}
}

// lockedBuffer is a buffer that a process writes to while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestCommands: a fault in the configuration or on the command line is a sentence and an exit code.
func TestCommands(t *testing.T) {
	for name, c := range map[string]struct {
		env, args []string
		code      int
		says      string
	}{
		"no configuration":   {nil, []string{"serve"}, 1, "MYSQL_HOST"},
		"both stores":        {[]string{"DATA_DIR=x", "MYSQL_HOST=db"}, nil, 1, "MYSQL_HOST"},
		"a bad number":       {[]string{"DATA_DIR=x", "PORT=lejos"}, nil, 1, "PORT"},
		"a bad cost":         {[]string{"DATA_DIR=x", "BCRYPT_COST=4"}, nil, 1, "BCRYPT_COST"},
		"a bad key":          {[]string{"DATA_DIR=x", "JWT_KEYS=k:abc"}, nil, 1, "JWT_KEYS"},
		"no such secret":     {[]string{"DATA_DIR=x", "JWT_KEYS_FILE=/nonexistent"}, nil, 1, "JWT_KEYS_FILE"},
		"an unknown command": {nil, []string{"bailar"}, 2, "usage"},
		"import of nothing":  {nil, []string{"import"}, 2, "usage"},
		"check of nothing":   {nil, []string{"check", "http://127.0.0.1:1/"}, 1, ""},
		"version":            {nil, []string{"version"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary(t), c.args...)
			cmd.Dir = t.TempDir()
			cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, c.env...)
			out, _ := cmd.CombinedOutput()
			same(t, "exit code", cmd.ProcessState.ExitCode(), c.code)
			if !strings.Contains(string(out), c.says) {
				t.Errorf("got %q, want %s in it", out, c.says)
			}
		})
	}
}
