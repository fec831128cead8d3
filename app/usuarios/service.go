package usuarios

import (
	"context"
	"net/netip"
	"sort"
	"sync"
	"time"

	"siglab/app/clave"
	"siglab/app/errs"
)

// touchEvery is how often a session in use is noted as such: the list of active users is exact to a minute.
const touchEvery = time.Minute

// Service lets people in and out.
type Service struct {
	Store    Store
	Sessions Sessions
	Limiter  Limiter // shared by all replicas
	Fallback Limiter // this replica's own, for when the shared one does not answer
	Hasher   *Hasher
	Tokens   *Tokens
	Revoked  *Revoked
	Now      func() time.Time

	PerUser    int // logins a minute with one user name
	PerAddress int // logins, and registrations, a minute from one address

	// Observe is told how each login ended: ok, rejected, limited, busy or unavailable.
	Observe func(result string)
	// Report is told of work that failed without the client's losing anything.
	Report func(ctx context.Context, what string, err error)

	mu      sync.Mutex
	touched map[string]time.Time // sessions noted lately, by ID
}

// errCredenciales is the one answer to an unknown user and to a wrong password.
func errCredenciales() error {
	return errs.New(errs.Unauthenticated, "Usuario o contraseña incorrectos.")
}

// Login checks a user's password and opens a session, whose signed token it returns. Unauthenticated for an unknown name and a wrong password
// alike, in the same time; Limited after too many attempts with that name or from that address; Unavailable when the accounts
// cannot be read or too many passwords are being checked.
func (s *Service) Login(ctx context.Context, username, password string, from netip.Addr) (Session, string, error) {
	session, token, err := s.login(ctx, username, password, from)
	s.Observe(outcome(err))
	return session, token, err
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errs.KindOf(err) == errs.Unauthenticated:
		return "rejected"
	case errs.KindOf(err) == errs.Limited:
		return "limited"
	case err == errBusy:
		return "busy"
	}
	return "unavailable"
}

func (s *Service) login(ctx context.Context, username, password string, from netip.Addr) (Session, string, error) {
	if err := s.limit(ctx, "login:direccion:"+network(from), s.PerAddress); err != nil {
		return Session{}, "", err
	}
	if err := s.limit(ctx, "login:usuario:"+clave.Of(username), s.PerUser); err != nil {
		return Session{}, "", err
	}
	u, hash, err := s.Store.ByUsername(ctx, username)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return Session{}, "", err
	}
	ok, err := s.Hasher.Check(ctx, hash, password) // a nil hash takes as long, and never matches
	if err != nil {
		return Session{}, "", err
	}
	if !ok {
		return Session{}, "", errCredenciales()
	}
	s.renewHash(ctx, u.Username, hash, password)
	now := s.Now()
	session, token, err := s.Tokens.Issue(u, now)
	if err != nil {
		return Session{}, "", err
	}
	if err := s.Sessions.Open(ctx, session, now); err != nil {
		s.Report(ctx, "a session is not in the list of active users", err)
	}
	return session, token, nil
}

// renewHash gives an account of the old backend, or of an older configuration, a hash of the configured cost.
func (s *Service) renewHash(ctx context.Context, username string, old []byte, password string) {
	if !s.Hasher.Outdated(old) || len(password) > MaxPassword {
		return
	}
	hash, err := s.Hasher.Hash(ctx, password)
	if err == nil {
		err = s.Store.ReplaceHash(ctx, username, old, hash)
	}
	if err != nil {
		s.Report(ctx, "a password keeps its old hash for now", err)
	}
}

func (s *Service) limit(ctx context.Context, key string, perMinute int) error {
	wait, err := s.Limiter.Allow(ctx, key, perMinute)
	if err != nil {
		wait, err = s.Fallback.Allow(ctx, key, perMinute)
	}
	if err != nil {
		return err
	}
	if wait > 0 {
		return &errs.Error{Kind: errs.Limited, Message: "Demasiados intentos; espere un momento antes de probar otra vez.", RetryAfter: wait}
	}
	return nil
}

// network is what is counted as one address: of IPv6 the /64 that one subscriber has.
func network(a netip.Addr) string {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// Register adds an account. by is who asks, nil for a caller without a session; only an admin may make an admin. Conflict says
// that the name is taken.
func (s *Service) Register(ctx context.Context, r Registro, by *Session, from netip.Addr) error {
	u, err := New(r)
	if err != nil {
		return err
	}
	if u.Rol == Admin && (by == nil || by.Usuario.Rol != Admin) {
		return errs.New(errs.Forbidden, "Solo un administrador puede registrar a otro administrador.")
	}
	if err := s.limit(ctx, "registro:direccion:"+network(from), s.PerAddress); err != nil {
		return err
	}
	hash, err := s.Hasher.Hash(ctx, r.Password)
	if err != nil {
		return err
	}
	return s.Store.Insert(ctx, u, hash)
}

// EnsureAdmin makes the first account, an admin, if there is none at all, and says whether it did.
func (s *Service) EnsureAdmin(ctx context.Context, username, password string) (bool, error) {
	u, err := New(Registro{NombreCompleto: "Administrador", Username: username, Password: password, Rol: string(Admin)})
	if err != nil {
		return false, err
	}
	// Hashing takes most of a start, and is for nothing in every start but one.
	if _, _, err := s.Store.ByUsername(ctx, username); err == nil || errs.KindOf(err) != errs.NotFound {
		return false, err
	}
	hash, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return false, err
	}
	return s.Store.InsertFirst(ctx, u, hash)
}

// Verify returns the session that a token stands for, or Unauthenticated. It asks no store.
func (s *Service) Verify(token string) (Session, error) {
	session, err := s.Tokens.Parse(token, s.Now())
	if err != nil {
		return Session{}, err
	}
	if s.Revoked.Has(session.ID) {
		return Session{}, errs.New(errs.Unauthenticated, "La sesión se cerró; inicie sesión de nuevo.")
	}
	return session, nil
}

// Touch notes that a session is in use, at most once a minute.
func (s *Service) Touch(ctx context.Context, session Session) {
	now := s.Now()
	s.mu.Lock()
	due := now.Sub(s.touched[session.ID]) >= touchEvery
	if due {
		if s.touched == nil || len(s.touched) >= 10_000 { // forgetting costs one more note each
			s.touched = map[string]time.Time{}
		}
		s.touched[session.ID] = now
	}
	s.mu.Unlock()
	if due {
		_ = s.Sessions.Touch(ctx, session, now) // the list is as good as Redis is; the next minute tries again
	}
}

// Logout ends a session: once it returns without an error every replica refuses its token within a second, and for good.
func (s *Service) Logout(ctx context.Context, session Session) error {
	r := Revocation{Session: session.ID, Expires: session.Expires}
	if err := s.Store.Revoke(ctx, r); err != nil {
		return err
	}
	s.Revoked.Add(r)
	ctx = context.WithoutCancel(ctx)
	if err := s.Sessions.Announce(ctx, r); err != nil {
		s.Report(ctx, "the other replicas learn of a logout at their next look", err)
	}
	_ = s.Sessions.Close(ctx, session.ID) // Active leaves revoked sessions out anyway
	return nil
}

// Active returns who is at work, each user once with the latest session, the most recently seen first.
func (s *Service) Active(ctx context.Context) ([]Activa, error) {
	all, err := s.Sessions.Active(ctx, s.Now())
	if err != nil {
		return nil, err
	}
	latest := map[string]Activa{}
	for _, a := range all {
		k := clave.Of(a.Usuario.Username)
		if old, ok := latest[k]; s.Revoked.Has(a.ID) || ok && !a.LastSeen.After(old.LastSeen) {
			continue
		}
		latest[k] = a
	}
	list := make([]Activa, 0, len(latest))
	for _, a := range latest {
		list = append(list, a)
	}
	sort.Slice(list, func(i, j int) bool {
		if !list[i].LastSeen.Equal(list[j].LastSeen) {
			return list[i].LastSeen.After(list[j].LastSeen)
		}
		return list[i].Usuario.Username < list[j].Usuario.Username
	})
	return list, nil
}
