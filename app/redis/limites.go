package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
	goredis "github.com/redis/go-redis/v9"

	"siglab/app/guard"
	"siglab/app/usuarios"
)

var _ usuarios.Limiter = (*Limiter)(nil)

// Limiter is a usuarios.Limiter that all replicas share, by redis_rate's generic cell rate algorithm and Redis's own clock.
type Limiter struct {
	db    *DB
	rate  *redis_rate.Limiter
	guard *guard.Guard
}

// NewLimiter makes the limiter. g may be nil.
func NewLimiter(db *DB, g *guard.Guard) *Limiter {
	return &Limiter{db: db, rate: redis_rate.NewLimiter(renaming{db.client}), guard: g}
}

// Allow implements usuarios.Limiter. A key may spend its minute's attempts at once and then gets one back each perMinute-th part of
// a minute. perMinute below 1 is no limit.
func (l *Limiter) Allow(ctx context.Context, key string, perMinute int) (wait time.Duration, err error) {
	if perMinute < 1 {
		return 0, nil
	}
	// Keys hold what anybody types in place of a user name: hashed, they are short and name nobody.
	sum := sha256.Sum256([]byte(key))
	name := l.db.key("limite:" + hex.EncodeToString(sum[:16]))
	err = l.guard.Do(ctx, func(ctx context.Context) error {
		r, err := l.rate.Allow(ctx, name, redis_rate.PerMinute(perMinute))
		if err == nil && r.Allowed == 0 {
			wait = max(r.RetryAfter, time.Millisecond)
		}
		return err
	})
	return wait, err
}

// renaming takes redis_rate's own prefix off its keys, so that every key of the service begins alike and one pattern in an access
// list covers them all.
type renaming struct{ goredis.UniversalClient }

func (r renaming) Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	return r.UniversalClient.Eval(ctx, script, ours(keys), args...)
}

func (r renaming) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *goredis.Cmd {
	return r.UniversalClient.EvalSha(ctx, sha1, ours(keys), args...)
}

func ours(keys []string) []string {
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = strings.TrimPrefix(key, "rate:")
	}
	return out
}
