package memory

import (
	"context"
	"sync"
	"time"

	"siglab/app/usuarios"
)

var _ usuarios.Sessions = (*Sessions)(nil)

// Sessions is a usuarios.Sessions in this process.
type Sessions struct {
	max int

	mu     sync.Mutex
	active map[string]usuarios.Activa
	closed map[string]time.Time // when they would have ended; a request still in flight must not bring one back

	hearing   sync.RWMutex // held while listeners are called, so that none is called once its Listen has returned
	listeners map[*func(usuarios.Revocation)]bool
}

// NewSessions makes a list of at most max sessions; when it is full, the one that was used longest ago is forgotten.
func NewSessions(max int) *Sessions {
	return &Sessions{max: max, active: map[string]usuarios.Activa{}, closed: map[string]time.Time{},
		listeners: map[*func(usuarios.Revocation)]bool{}}
}

// Open implements usuarios.Sessions.
func (s *Sessions) Open(_ context.Context, ses usuarios.Session, at time.Time) error {
	s.note(ses, at)
	return nil
}

// Touch implements usuarios.Sessions.
func (s *Sessions) Touch(_ context.Context, ses usuarios.Session, at time.Time) error {
	s.note(ses, at)
	return nil
}

func (s *Sessions) note(ses usuarios.Session, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, over := s.closed[ses.ID]; over || !at.Before(ses.Expires) {
		return
	}
	if _, known := s.active[ses.ID]; !known && len(s.active)+len(s.closed) >= s.max {
		s.makeRoom(at)
	}
	s.active[ses.ID] = usuarios.Activa{Session: ses, LastSeen: at}
}

// makeRoom drops what has expired and, if that was nothing, one session.
func (s *Sessions) makeRoom(at time.Time) {
	s.prune(at)
	for len(s.active)+len(s.closed) >= s.max {
		oldest := ""
		for id, a := range s.active {
			if oldest == "" || a.LastSeen.Before(s.active[oldest].LastSeen) {
				oldest = id
			}
		}
		if oldest == "" {
			clear(s.closed)
			return
		}
		delete(s.active, oldest)
	}
}

func (s *Sessions) prune(at time.Time) {
	for id, a := range s.active {
		if !at.Before(a.Expires) {
			delete(s.active, id)
		}
	}
	for id, expires := range s.closed {
		if !at.Before(expires) {
			delete(s.closed, id)
		}
	}
}

// Close implements usuarios.Sessions.
func (s *Sessions) Close(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.active[id]; ok {
		delete(s.active, id)
		s.closed[id] = a.Expires
	}
	return nil
}

// Active implements usuarios.Sessions.
func (s *Sessions) Active(_ context.Context, at time.Time) ([]usuarios.Activa, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(at)
	all := make([]usuarios.Activa, 0, len(s.active))
	for _, a := range s.active {
		all = append(all, a)
	}
	return all, nil
}

// Announce implements usuarios.Sessions: the listeners have heard when it returns.
func (s *Sessions) Announce(_ context.Context, r usuarios.Revocation) error {
	s.hearing.RLock()
	defer s.hearing.RUnlock()
	for heard := range s.listeners {
		(*heard)(r)
	}
	return nil
}

// Listen implements usuarios.Sessions.
func (s *Sessions) Listen(ctx context.Context, heard func(usuarios.Revocation)) {
	s.hearing.Lock()
	s.listeners[&heard] = true
	s.hearing.Unlock()
	<-ctx.Done()
	s.hearing.Lock()
	delete(s.listeners, &heard)
	s.hearing.Unlock()
}
