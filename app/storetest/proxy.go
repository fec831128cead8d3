package storetest

import (
	"net"
	"sync"
	"testing"
)

// Proxy stands between a client and a server and makes the network fail: what it carries can be frozen, as by a server that hangs,
// or broken, as by one that died.
type Proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	thawed chan struct{} // closed unless frozen
	down   bool
	lost   map[net.Conn]bool // what comes from these goes nowhere
	conns  map[net.Conn]bool
	done   sync.WaitGroup
}

// NewProxy listens on a port of its own for a server at target, a host and a port. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, thawed: make(chan struct{}), conns: map[net.Conn]bool{}, lost: map[net.Conn]bool{}}
	close(p.thawed)
	p.done.Go(p.serve)
	t.Cleanup(func() {
		p.Thaw()
		p.Break()
		_ = l.Close()
		p.done.Wait()
	})
	return p
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Freeze lets nothing through any more, in either direction, and closes nothing.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze; what waited goes on its way.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// Break closes every connection, and each new one at once, until Mend.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// Swallow makes what the open connections carry vanish from now on, and closes nothing: a machine that lost its power looks so.
// New connections work.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		p.lost[c] = true
	}
}

// Mend ends Break.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		if p.down {
			_ = client.Close()
			_ = server.Close()
		} else {
			p.conns[client], p.conns[server] = true, true
			p.done.Go(func() { p.carry(client, server) })
			p.done.Go(func() { p.carry(server, client) })
		}
		p.mu.Unlock()
	}
}

func (p *Proxy) carry(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		delete(p.lost, from)
		p.mu.Unlock()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		thawed, lost := p.thawed, p.lost[from]
		p.mu.Unlock()
		<-thawed
		if n > 0 && !lost {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
