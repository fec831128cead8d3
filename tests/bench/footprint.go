package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// keptOpen is how many idle connections the service holds.
const keptOpen = 1000

// memory looks at a service that does nothing, and at one with 1,000 connections that have each read the list and stay.
func memory(w *world) error {
	d, err := w.fresh("memory")
	if err != nil {
		return err
	}
	if err := d.fill(0, inventory); err != nil {
		return err
	}
	service, err := d.service("SIGLAB")
	if err != nil {
		return err
	}
	defer service.end()
	idle, _ := residentOf(service.pid())
	if err := highFrom(service.pid()); err != nil {
		return err
	}
	connections := make([]net.Conn, 0, keptOpen)
	defer func() {
		for _, c := range connections {
			c.Close()
		}
	}()
	for range keptOpen {
		c, err := net.Dial("tcp", service.addr)
		if err != nil {
			return err
		}
		connections = append(connections, c)
		if err := readOnce(c, service); err != nil {
			return err
		}
	}
	held, high := residentOf(service.pid())
	fmt.Printf("idle %.0f MB, with %d connections that have each read the list %.0f MB, at the most %.0f MB\n", mb(idle), keptOpen, mb(held), mb(high))
	w.promise("idle, and under 1,000 keep-alive connections", "under 40 MB and under 96 MB resident", mb(idle) < 40 && mb(high) < 96, "%.0f MB and %.0f MB", mb(idle), mb(high))
	return nil
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }

// start compares the time from a process's start to its first 200 with a bare program that opens the same three connections.
func start(w *world) error {
	d, err := w.fresh("start")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	warm, err := d.service("SIGLAB") // makes the first account, once
	if err != nil {
		return err
	}
	warm.end()
	until := func(name, program string, env func(addr, internal string) []string, path string, args ...string) (time.Duration, error) {
		began := time.Now()
		p, err := begin(name, program, env, args...)
		if err != nil {
			return 0, err
		}
		err = p.ready(w.ctx, path)
		took := time.Since(began)
		p.end()
		return took, err
	}
	var ours, bare, ratios []float64
	for range 3 * w.rounds {
		a, err := until("SIGLAB", w.options.siglab, serving(d.env(), "SIGLAB"), "/api/sistema/health")
		if err != nil {
			return err
		}
		b, err := until("limit", self, func(addr, _ string) []string {
			return []string{envAddr + "=" + addr, envRedis + "=" + d.redisURL(), envMySQL + "=" + d.dsn(), envMongo + "=" + w.mongo.String()}
		}, "/", "limit", "start")
		if err != nil {
			return err
		}
		ours, bare, ratios = append(ours, a.Seconds()*1e3), append(bare, b.Seconds()*1e3), append(ratios, a.Seconds()/b.Seconds())
	}
	s := spreadOf(ratios)
	fmt.Printf("SIGLAB %.0f ms, the bare program %.0f ms\n", spreadOf(ours).mid, spreadOf(bare).mid)
	w.promise("process start to ready, databases up", "time 3 at most", s.mid <= 3, "time %s", s)
	return nil
}

// readOnce reads the list over a connection and leaves it open.
func readOnce(c net.Conn, p *process) error {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", listarPath, p.addr, p.token)
	if _, err := c.Write([]byte(request)); err != nil {
		return err
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	n, err := io.Copy(io.Discard, a.Body)
	if err == nil && (a.StatusCode != http.StatusOK || n != a.ContentLength) {
		err = fmt.Errorf("status %d, %d bytes of %d", a.StatusCode, n, a.ContentLength)
	}
	return err
}
