package faults_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// stepper is a proxy before MongoDB that reads along, so that a test can act between two commands of one operation: toxiproxy knows
// bytes and connections only.
type stepper struct {
	listener net.Listener
	upstream string

	mu   sync.Mutex
	trap *trap
	open map[net.Conn]bool
}

// trap is what a stepper waits for, once.
type trap struct {
	command string // its name on the wire: insert, update, delete
	holds   []byte // what else its message holds
	// answered means: when the server has done it and before its answer gets through. Otherwise: before the server gets it.
	answered bool
	// sprung is called at that moment. The message does not get through when it returns false.
	sprung func() bool
}

func newStepper(t *testing.T, upstream string) *stepper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stepper{listener: l, upstream: upstream, open: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for c := range s.open {
			_ = c.Close()
		}
		s.mu.Unlock()
		running.Wait()
	})
	return s
}

func (s *stepper) addr() string { return s.listener.Addr().String() }

// set arms a trap, nil for none.
func (s *stepper) set(t *trap) {
	s.mu.Lock()
	s.trap = t
	s.mu.Unlock()
}

// take returns the trap if it fits a message, and disarms it.
func (s *stepper) take(message []byte) *trap {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trap
	if t == nil || commandOf(message) != t.command || !bytes.Contains(message, t.holds) {
		return nil
	}
	s.trap = nil
	return t
}

func (s *stepper) serve(client net.Conn) {
	server, err := net.Dial("tcp", s.upstream)
	if err != nil {
		_ = client.Close()
		return
	}
	s.mu.Lock()
	s.open[client], s.open[server] = true, true
	s.mu.Unlock()
	var mu sync.Mutex
	waiting := map[uint32]*trap{} // traps for answers, by the request's number
	end := func() {
		_ = client.Close()
		_ = server.Close()
	}
	var both sync.WaitGroup
	both.Go(func() {
		defer end()
		for {
			m, err := message(client)
			if err != nil {
				return
			}
			if t := s.take(m); t != nil && t.answered {
				mu.Lock()
				waiting[binary.LittleEndian.Uint32(m[4:])] = t
				mu.Unlock()
			} else if t != nil && !t.sprung() {
				return
			}
			if _, err := server.Write(m); err != nil {
				return
			}
		}
	})
	both.Go(func() {
		defer end()
		for {
			m, err := message(server)
			if err != nil {
				return
			}
			mu.Lock()
			t := waiting[binary.LittleEndian.Uint32(m[8:])]
			mu.Unlock()
			if t != nil && !t.sprung() {
				return
			}
			if _, err := client.Write(m); err != nil {
				return
			}
		}
	})
	both.Wait()
	s.mu.Lock()
	delete(s.open, client)
	delete(s.open, server)
	s.mu.Unlock()
}

// message reads one message of MongoDB's protocol: its length, its number, the number it answers, its kind, and its body.
func message(r io.Reader) ([]byte, error) {
	header := make([]byte, 16)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	const most = 48 << 20 // the protocol's own bound
	n := binary.LittleEndian.Uint32(header)
	if n < 16 || n > most {
		return nil, io.ErrUnexpectedEOF
	}
	m := make([]byte, n)
	copy(m, header)
	_, err := io.ReadFull(r, m[16:])
	return m, err
}

// commandOf returns the name of a command: that of the first element of an OP_MSG's document.
func commandOf(m []byte) string {
	const opMsg, name = 2013, 16 + 4 + 1 + 4 + 1 // after header, flags, section's kind, document's length, element's type
	if len(m) < name || binary.LittleEndian.Uint32(m[12:]) != opMsg || m[20] != 0 {
		return ""
	}
	text, _, _ := bytes.Cut(m[name:], []byte{0})
	return string(text)
}
