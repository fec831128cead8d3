package slo_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between the service and one of its stores, and makes it slow: each answer comes delay later.
type proxy struct {
	listener net.Listener
	target   string
	delay    atomic.Int64 // nanoseconds
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

func startProxy(t testing.TB, address string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: map[net.Conn]bool{}}
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) port() string {
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	return port
}

func (p *proxy) slow(d time.Duration) { p.delay.Store(int64(d)) }

func (p *proxy) accept() {
	defer p.wg.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		var halves sync.WaitGroup
		halves.Add(2)
		go func() { defer halves.Done(); _, _ = io.Copy(server, client); closeWrite(server) }()
		go func() { defer halves.Done(); p.answers(client, server); closeWrite(client) }()
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			halves.Wait()
			client.Close()
			server.Close()
			p.mu.Lock()
			delete(p.conns, client)
			delete(p.conns, server)
			p.mu.Unlock()
		}()
	}
}

func closeWrite(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// answers copies what the server says, each piece as much later as the proxy is slow when it arrives. The pieces wait side by side:
// a long answer is late once, not once a piece.
func (p *proxy) answers(client io.Writer, server io.Reader) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for x := range pieces {
			time.Sleep(time.Until(x.due))
			if _, err := client.Write(x.data); err != nil {
				for range pieces { // let the reader end
				}
				return
			}
		}
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			pieces <- piece{time.Now().Add(time.Duration(p.delay.Load())), append([]byte(nil), buf[:n]...)}
		}
		if err != nil {
			close(pieces)
			<-done
			return
		}
	}
}
