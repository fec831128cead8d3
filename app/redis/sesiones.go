package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"siglab/app/guard"
	"siglab/app/usuarios"
)

var _ usuarios.Sessions = (*Sessions)(nil)

// Sessions is a usuarios.Sessions in Redis: a hash of the sessions by ID and a sorted set of the IDs by their end. A session that was
// closed keeps an empty place until it would have ended, so that a request still in flight does not bring it back.
type Sessions struct {
	db    *DB
	guard *guard.Guard
}

// NewSessions makes the list of sessions. g may be nil; Listen does without it.
func NewSessions(db *DB, g *guard.Guard) *Sessions { return &Sessions{db: db, guard: g} }

const (
	sesiones     = "sesiones"
	sesionesFin  = "sesiones:fin"
	revocaciones = "revocaciones"

	// pruned is how many sessions that have ended one call removes at most: more than can be opened in its time, and few
	// enough to keep nobody waiting.
	pruned = 200
)

// sesion is a session as the hash holds it. Times are Unix milliseconds.
type sesion struct {
	Username       string       `json:"username"`
	NombreCompleto string       `json:"nombre_completo"`
	Rol            usuarios.Rol `json:"rol"`
	Desde          int64        `json:"desde"`
	Fin            int64        `json:"fin"`
	Uso            int64        `json:"uso"`
}

// KEYS: the sessions, their ends. ARGV: now, how many to remove at most, the ID, its end, the session.
var noteScript = goredis.NewScript(`
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
if redis.call('HGET', KEYS[1], ARGV[3]) == '' then
  return 0
end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[3], ARGV[5])
return 1`)

// Open implements usuarios.Sessions.
func (s *Sessions) Open(ctx context.Context, ses usuarios.Session, at time.Time) error {
	return s.note(ctx, ses, at)
}

// Touch implements usuarios.Sessions. A session that Redis has forgotten is there again.
func (s *Sessions) Touch(ctx context.Context, ses usuarios.Session, at time.Time) error {
	return s.note(ctx, ses, at)
}

func (s *Sessions) note(ctx context.Context, ses usuarios.Session, at time.Time) error {
	if !at.Before(ses.Expires) {
		return nil
	}
	text, err := json.Marshal(sesion{
		Username: ses.Usuario.Username, NombreCompleto: ses.Usuario.NombreCompleto, Rol: ses.Usuario.Rol,
		Desde: ses.Began.UnixMilli(), Fin: ses.Expires.UnixMilli(), Uso: at.UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("redis: session: %w", err)
	}
	return s.guard.Do(ctx, func(ctx context.Context) error {
		keys := []string{s.db.key(sesiones), s.db.key(sesionesFin)}
		return noteScript.Run(ctx, s.db.client, keys, at.UnixMilli(), pruned, ses.ID, ses.Expires.UnixMilli(), text).Err()
	})
}

// KEYS: the sessions. ARGV: the ID.
var closeScript = goredis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], '')
end
return 1`)

// Close implements usuarios.Sessions.
func (s *Sessions) Close(ctx context.Context, id string) error {
	return s.guard.Do(ctx, func(ctx context.Context) error {
		return closeScript.Run(ctx, s.db.client, []string{s.db.key(sesiones)}, id).Err()
	})
}

// Active implements usuarios.Sessions.
func (s *Sessions) Active(ctx context.Context, at time.Time) ([]usuarios.Activa, error) {
	var texts map[string]string
	err := s.guard.Do(ctx, func(ctx context.Context) (err error) {
		texts, err = s.db.client.HGetAll(ctx, s.db.key(sesiones)).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]usuarios.Activa, 0, len(texts))
	for id, text := range texts {
		var v sesion
		if json.Unmarshal([]byte(text), &v) != nil || at.UnixMilli() >= v.Fin {
			continue // closed, or over and not yet removed
		}
		all = append(all, usuarios.Activa{
			Session: usuarios.Session{
				ID:      id,
				Usuario: usuarios.Usuario{Username: v.Username, NombreCompleto: v.NombreCompleto, Rol: v.Rol},
				Began:   time.UnixMilli(v.Desde), Expires: time.UnixMilli(v.Fin),
			},
			LastSeen: time.UnixMilli(v.Uso),
		})
	}
	return all, nil
}

// revocacion is a revocation as it is announced.
type revocacion struct {
	Sesion string `json:"sesion"`
	Fin    int64  `json:"fin"` // Unix milliseconds
}

// Announce implements usuarios.Sessions.
func (s *Sessions) Announce(ctx context.Context, r usuarios.Revocation) error {
	text, err := json.Marshal(revocacion{Sesion: r.Session, Fin: r.Expires.UnixMilli()})
	if err != nil {
		return fmt.Errorf("redis: revocation: %w", err)
	}
	return s.guard.Do(ctx, func(ctx context.Context) error {
		return s.db.client.Publish(ctx, s.db.key(revocaciones), text).Err()
	})
}

const (
	// A connection that has been silent for silence is asked for a sign of life, and given up after as long again: a frozen server
	// closes nothing.
	silence    = 2 * time.Second
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// Listen implements usuarios.Sessions. When it returns, its connection is closed and heard is not called any more.
func (s *Sessions) Listen(ctx context.Context, heard func(usuarios.Revocation)) {
	for backoff := minBackoff; ctx.Err() == nil; backoff = min(2*backoff, maxBackoff) {
		if s.listen(ctx, heard) {
			backoff = minBackoff
		}
		pause := time.NewTimer(backoff/2 + rand.N(backoff)) // replicas must not come back all at once
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
}

// listen hears one connection out and says whether it ever worked.
func (s *Sessions) listen(ctx context.Context, heard func(usuarios.Revocation)) (worked bool) {
	channel := s.db.client.Subscribe(ctx)
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = channel.Close() // wakes the reader
		close(closed)
	})
	defer func() {
		if stop() {
			_ = channel.Close()
			return
		}
		<-closed
	}()
	if channel.Subscribe(ctx, s.db.key(revocaciones)) != nil {
		return false
	}
	for asked := false; ctx.Err() == nil; {
		msg, err := channel.ReceiveTimeout(ctx, silence)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() && !asked {
			if channel.Ping(ctx) != nil {
				return worked
			}
			asked = true
			continue
		}
		if err != nil {
			return worked
		}
		asked, worked = false, true
		if m, ok := msg.(*goredis.Message); ok {
			var v revocacion
			if json.Unmarshal([]byte(m.Payload), &v) == nil && v.Sesion != "" {
				heard(usuarios.Revocation{Session: v.Sesion, Expires: time.UnixMilli(v.Fin)})
			}
		}
	}
	return worked
}
