package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running service or limit.
type process struct {
	name     string
	cmd      *exec.Cmd
	addr     string // that is loaded
	internal string // that has /metrics
	token    string // of a session, if it has sessions
	stderr   strings.Builder
	exited   chan error
}

func (p *process) pid() int           { return p.cmd.Process.Pid }
func (p *process) cpu() time.Duration { return cpuOf(p.pid()) }

// mallocs is how many objects it has allocated.
func (p *process) mallocs() (int64, error) {
	answer, err := http.Get("http://" + p.internal + "/metrics")
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			return int64(n), err
		}
	}
	return 0, errors.Join(fmt.Errorf("%s: no go_memstats_mallocs_total", p.name), err)
}

// pipeSize is enough for what a service logs while this program is busy with the load: a full pipe would stop the service.
const pipeSize = 1 << 20

// begin starts a program on the measured processor. Its log is read from a pipe, as a cluster reads it, and thrown away.
// env is told the two addresses that the program is to listen on.
func begin(name, program string, env func(addr, internal string) []string, args ...string) (*process, error) {
	p := &process{name: name, exited: make(chan error, 1)}
	for _, address := range []*string{&p.addr, &p.internal} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env(p.addr, p.internal)...)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	if _, err := unix.FcntlInt(write.Fd(), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	go func() {
		_, _ = io.Copy(io.Discard, read)
		_ = read.Close()
	}()
	p.cmd.Stdout, p.cmd.Stderr = write, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startMeasured(p.cmd); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, nil
}

// ready waits until GET path answers 200.
func (p *process) ready(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, "GET", "http://"+p.addr+path, nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-p.exited:
			return fmt.Errorf("%s ended: %w: %s", p.name, err, &p.stderr)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// end stops the process and waits for it.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// login opens a session.
func (p *process) login(user, password string) error {
	body, _ := json.Marshal(map[string]string{"username": user, "password": password})
	answer, err := http.Post("http://"+p.addr+"/api/auth/login", "application/json", strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var session struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&session); err != nil || session.Token == "" {
		return fmt.Errorf("login: status %d, %v", answer.StatusCode, err)
	}
	p.token = session.Token
	return nil
}

// freeAddress is one that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
