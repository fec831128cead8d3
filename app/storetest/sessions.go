package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"siglab/app/usuarios"
)

// Sessions checks a usuarios.Sessions. open returns two users of a new and empty one each time, or the same one twice where
// there cannot be two; it is gone when the test ends.
func Sessions(t *testing.T, open func(t *testing.T) [2]usuarios.Sessions) {
	for name, test := range map[string]func(*testing.T, [2]usuarios.Sessions){
		"open, touch, close":    sessionsLife,
		"expiry":                sessionsExpiry,
		"forgotten ones":        sessionsForgotten,
		"at once":               sessionsAtOnce,
		"announcements":         sessionsAnnounce,
		"listening ends":        sessionsListenEnds,
		"listening that is off": sessionsListenOff,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// began is a time that every store can hold: whole milliseconds.
var began = time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)

func session(i int) usuarios.Session {
	return usuarios.Session{
		ID:      fmt.Sprintf("sesion-%d", i),
		Usuario: usuarios.Usuario{NombreCompleto: texts[i%len(texts)], Username: fmt.Sprint("ana", i%3), Rol: usuarios.Admin},
		Began:   began.Add(time.Duration(i) * time.Second), Expires: began.Add(8 * time.Hour),
	}
}

// active returns the active sessions by ID, and checks that both replicas know the same.
func active(t *testing.T, s [2]usuarios.Sessions, at time.Time) map[string]usuarios.Activa {
	t.Helper()
	var both [2]map[string]usuarios.Activa
	for i := range s {
		list, err := s[i].Active(t.Context(), at)
		must(t, "Active", err)
		both[i] = map[string]usuarios.Activa{}
		for _, a := range list {
			if _, twice := both[i][a.ID]; twice {
				t.Errorf("session %s is listed twice", a.ID)
			}
			both[i][a.ID] = a
		}
	}
	if len(both[0]) != len(both[1]) {
		t.Errorf("one replica knows %d sessions, the other %d", len(both[0]), len(both[1]))
	}
	return both[0]
}

func wantActive(t *testing.T, what string, got map[string]usuarios.Activa, want ...usuarios.Activa) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d sessions, want %d", what, len(got), len(want))
	}
	for _, w := range want {
		g := got[w.ID]
		if g.ID != w.ID || g.Usuario != w.Usuario || !g.Began.Equal(w.Began) || !g.Expires.Equal(w.Expires) || !g.LastSeen.Equal(w.LastSeen) {
			t.Errorf("%s: got %+v, want %+v", what, g, w)
		}
	}
}

func sessionsLife(t *testing.T, s [2]usuarios.Sessions) {
	ctx := t.Context()
	wantActive(t, "at first", active(t, s, began))
	var want []usuarios.Activa
	for i := range texts {
		at := began.Add(time.Duration(i) * time.Second)
		must(t, "Open", s[i%2].Open(ctx, session(i), at))
		want = append(want, usuarios.Activa{Session: session(i), LastSeen: at})
	}
	wantActive(t, "opened", active(t, s, began.Add(time.Minute)), want...)
	want[3].LastSeen = began.Add(time.Hour)
	must(t, "Touch", s[0].Touch(ctx, session(3), want[3].LastSeen))
	wantActive(t, "touched", active(t, s, began.Add(time.Hour)), want...)
	must(t, "Close", s[1].Close(ctx, session(0).ID))
	must(t, "Close again", s[1].Close(ctx, session(0).ID))
	must(t, "Close of an unknown session", s[1].Close(ctx, "ninguna"))
	wantActive(t, "closed", active(t, s, began.Add(time.Hour)), want[1:]...)
	// A request that was under way when its session was closed.
	must(t, "Touch after Close", s[0].Touch(ctx, session(0), began.Add(time.Hour)))
	wantActive(t, "touched after it was closed", active(t, s, began.Add(time.Hour)), want[1:]...)
}

func sessionsExpiry(t *testing.T, s [2]usuarios.Sessions) {
	ctx := t.Context()
	short, long := session(1), session(2)
	short.Expires = began.Add(time.Minute)
	must(t, "Open", s[0].Open(ctx, short, began))
	must(t, "Open", s[0].Open(ctx, long, began))
	last := short.Expires.Add(-time.Millisecond)
	wantActive(t, "before the end", active(t, s, last), usuarios.Activa{Session: short, LastSeen: began}, usuarios.Activa{Session: long, LastSeen: began})
	wantActive(t, "at the end", active(t, s, short.Expires), usuarios.Activa{Session: long, LastSeen: began})
	must(t, "Touch after the end", s[1].Touch(ctx, short, short.Expires))
	wantActive(t, "touched after the end", active(t, s, short.Expires), usuarios.Activa{Session: long, LastSeen: began})
	must(t, "Open", s[1].Open(ctx, session(3), short.Expires)) // a call that may clear away what has ended
	wantActive(t, "later", active(t, s, short.Expires), usuarios.Activa{Session: long, LastSeen: began}, usuarios.Activa{Session: session(3), LastSeen: short.Expires})
}

func sessionsForgotten(t *testing.T, s [2]usuarios.Sessions) {
	at := began.Add(time.Hour)
	must(t, "Touch of an unknown session", s[0].Touch(t.Context(), session(1), at))
	wantActive(t, "touched", active(t, s, at), usuarios.Activa{Session: session(1), LastSeen: at})
}

func sessionsAtOnce(t *testing.T, s [2]usuarios.Sessions) {
	const n = 40
	together(n, func(i int) {
		ctx := context.WithoutCancel(t.Context())
		if err := s[i%2].Open(ctx, session(i), began); err != nil {
			t.Errorf("Open: %v", err)
		}
		if i%4 == 0 {
			if err := s[(i+1)%2].Close(ctx, session(i).ID); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
	if got := active(t, s, began); len(got) != n*3/4 {
		t.Errorf("got %d sessions, want %d", len(got), n*3/4)
	}
}

// listener collects what Listen hears.
type listener struct {
	mu    sync.Mutex
	heard []usuarios.Revocation
	news  chan struct{}
	stop  context.CancelFunc
	ended chan struct{}
}

func listen(t *testing.T, s usuarios.Sessions) *listener {
	ctx, stop := context.WithCancel(t.Context())
	l := &listener{news: make(chan struct{}, 1), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		s.Listen(ctx, func(r usuarios.Revocation) {
			l.mu.Lock()
			l.heard = append(l.heard, r)
			l.mu.Unlock()
			select {
			case l.news <- struct{}{}:
			default:
			}
		})
	}()
	t.Cleanup(func() { l.end(t) })
	return l
}

func (l *listener) end(t *testing.T) {
	t.Helper()
	l.stop()
	select {
	case <-l.ended:
	case <-time.After(20 * time.Second):
		t.Error("Listen did not return when its context ended")
	}
}

func (l *listener) all() []usuarios.Revocation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]usuarios.Revocation(nil), l.heard...)
}

// await repeats call until each listener has heard something.
func await(t *testing.T, call func() error, listeners ...*listener) {
	t.Helper()
	end := time.After(20 * time.Second)
	for _, l := range listeners {
		for len(l.all()) == 0 {
			if err := call(); err != nil {
				t.Log("not yet: ", err)
			}
			select {
			case <-l.news:
			case <-time.After(20 * time.Millisecond):
			case <-end:
				t.Fatal("a listener heard nothing")
			}
		}
	}
}

// AwaitAnnouncement checks that what is announced to s is heard by a Listen of heard, at first and again after each of the faults,
// and that this Listen ends.
func AwaitAnnouncement(t *testing.T, s, heard usuarios.Sessions, between ...func()) {
	t.Helper()
	l := listen(t, heard)
	announce := func() error {
		return s.Announce(context.WithoutCancel(t.Context()), usuarios.Revocation{Session: "s", Expires: began})
	}
	await(t, announce, l)
	for _, fault := range between {
		fault()
		l.mu.Lock()
		l.heard = nil
		l.mu.Unlock()
		await(t, announce, l)
	}
	l.end(t)
}

func sessionsAnnounce(t *testing.T, s [2]usuarios.Sessions) {
	ctx := t.Context()
	a, b := listen(t, s[0]), listen(t, s[1])
	// Listening begins in its own time; from the first that was heard on, nothing may be missed.
	await(t, func() error { return s[0].Announce(ctx, usuarios.Revocation{Session: "prueba", Expires: began}) }, a, b)
	const n = 100
	var want []usuarios.Revocation
	for i := range n {
		r := usuarios.Revocation{Session: fmt.Sprint("revocada-", i), Expires: began.Add(time.Duration(i) * time.Millisecond)}
		want = append(want, r)
		must(t, "Announce", s[i%2].Announce(ctx, r))
	}
	for _, l := range []*listener{a, b} {
		var got []usuarios.Revocation
		for end := time.After(20 * time.Second); ; {
			got = nil
			for _, r := range l.all() {
				if r.Session != "prueba" {
					got = append(got, r)
				}
			}
			if len(got) >= n {
				break
			}
			select {
			case <-l.news:
				continue
			case <-end:
			}
			break
		}
		seen := map[string]bool{}
		for _, r := range got {
			seen[fmt.Sprint(r.Session, r.Expires.UnixMilli())] = true
		}
		for _, r := range want {
			if !seen[fmt.Sprint(r.Session, r.Expires.UnixMilli())] {
				t.Errorf("a listener did not hear %+v", r)
			}
		}
		if len(got) != n {
			t.Errorf("a listener heard %d announcements, want %d", len(got), n)
		}
	}
}

func sessionsListenEnds(t *testing.T, s [2]usuarios.Sessions) {
	l := listen(t, s[0])
	announce := func() error {
		return s[1].Announce(t.Context(), usuarios.Revocation{Session: "prueba", Expires: began})
	}
	await(t, announce, l)
	l.end(t)
	before := len(l.all())
	must(t, "Announce", announce())
	other := listen(t, s[1])
	await(t, announce, other)
	if got := len(l.all()); got != before {
		t.Errorf("a listener that has ended heard %d more", got-before)
	}
}

func sessionsListenOff(t *testing.T, s [2]usuarios.Sessions) {
	l := listen(t, s[0])
	l.end(t) // at once, perhaps before it was listening at all
	done := make(chan struct{})
	go func() {
		defer close(done)
		s[0].Listen(ended(t), func(usuarios.Revocation) { t.Error("heard something with an ended context") })
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("Listen with an ended context did not return")
	}
	must(t, "Announce to nobody", s[1].Announce(t.Context(), usuarios.Revocation{Session: "x", Expires: began}))
}
