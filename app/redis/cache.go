package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"siglab/app/cache"
	"siglab/app/guard"
)

var _ cache.Store = (*Cache)(nil)

// Cache is a cache.Store in Redis. The generations of all spaces are the fields of one hash without a TTL: they must outlast the
// entries that were put under them, or the cache would empty itself for nothing. Should Redis evict them all the same, new ones
// are made and every entry is a miss. An entry is a string: the generation, then the value.
type Cache struct {
	db    *DB
	guard *guard.Guard
}

// NewCache makes the cache. g may be nil.
func NewCache(db *DB, g *guard.Guard) *Cache { return &Cache{db: db, guard: g} }

const (
	generations = "generaciones"
	servidor    = "servidor"
	tokenLength = 32
)

func token() string {
	var b [tokenLength / 2]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

func (c *Cache) entry(space, key string) string { return c.db.key("cache:" + space + ":" + key) }

// KEYS: the generations. ARGV: the space, a token to be used when there is none.
var generationScript = goredis.NewScript(`
local gen = redis.call('HGET', KEYS[1], ARGV[1])
if not gen then
  gen = ARGV[2]
  redis.call('HSET', KEYS[1], ARGV[1], gen)
end
return gen`)

// Generation implements cache.Store with one HGET; only a missing token costs a second round trip.
func (c *Cache) Generation(ctx context.Context, space string) (gen string, err error) {
	err = c.guard.Do(ctx, func(ctx context.Context) error {
		gen, err = c.db.client.HGet(ctx, c.db.key(generations), space).Result()
		if errors.Is(err, goredis.Nil) {
			gen, err = generationScript.Run(ctx, c.db.client, []string{c.db.key(generations)}, space, token()).Text()
		}
		return err
	})
	return gen, err
}

// KEYS: the generations, the entry. ARGV: the space, a token to be used when there is none.
var getScript = goredis.NewScript(`
local gen = redis.call('HGET', KEYS[1], ARGV[1])
if not gen then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  return {ARGV[2], false}
end
local entry = redis.call('GET', KEYS[2])
if entry and string.sub(entry, 1, #gen) == gen then
  return {gen, entry}
end
return {gen, false}`)

// Get implements cache.Store.
func (c *Cache) Get(ctx context.Context, space, key string) (gen string, value []byte, err error) {
	err = c.guard.Do(ctx, func(ctx context.Context) error {
		gen, value = "", nil
		answer, err := getScript.Run(ctx, c.db.client, []string{c.db.key(generations), c.entry(space, key)}, space, token()).Slice()
		if err != nil {
			return err
		}
		ok := len(answer) == 2
		if ok {
			gen, ok = answer[0].(string)
		}
		if !ok {
			return fmt.Errorf("redis: an answer of %d parts that is no cache entry", len(answer))
		}
		if entry, hit := answer[1].(string); hit {
			value = []byte(strings.TrimPrefix(entry, gen))
		}
		return nil
	})
	return gen, value, err
}

// KEYS: the generations, the entry. ARGV: the space, the generation seen, the entry's text, its life in milliseconds.
// An entry of another generation could never be read, and would only take the place of one that can.
var putScript = goredis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  return 1
end
return 0`)

// Put implements cache.Store.
func (c *Cache) Put(ctx context.Context, space, gen, key string, value []byte) error {
	if gen == "" {
		return nil
	}
	return c.guard.Do(ctx, func(ctx context.Context) error {
		keys := []string{c.db.key(generations), c.entry(space, key)}
		return putScript.Run(ctx, c.db.client, keys, space, gen, gen+string(value), c.life()).Err()
	})
}

// KEYS: the generations and, unless no entry is touched, the entry. ARGV: the space, the new token, the token seen and, when there is a
// value to keep, the entry's text and its life in milliseconds.
var advanceScript = goredis.NewScript(`
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if KEYS[2] then
  if ARGV[4] and before == ARGV[3] then
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
  else
    redis.call('DEL', KEYS[2])
  end
end
return ARGV[2]`)

// Advance implements cache.Store. Done twice, as after an answer that was lost, it removes the entry that it had kept.
func (c *Cache) Advance(ctx context.Context, space, seen, key string, value []byte) (gen string, err error) {
	err = c.guard.Do(ctx, func(ctx context.Context) error {
		next := token()
		keys, args := []string{c.db.key(generations)}, []any{space, next, seen}
		if key != "" {
			keys = append(keys, c.entry(space, key))
			if value != nil {
				args = append(args, next+string(value), c.life())
			}
		}
		gen, err = advanceScript.Run(ctx, c.db.client, keys, args...).Text()
		return err
	})
	return gen, err
}

// life returns an entry's life in milliseconds: up to a tenth less than the TTL, because entries that were made together must not
// end together, or their readers all go to the database at once.
func (c *Cache) life() int64 {
	ttl := max(c.db.ttl.Milliseconds(), 1)
	return ttl - mathrand.Int64N(ttl/10+1)
}

// KEYS: the server's mark, the generations. ARGV: the server's run id.
var greetScript = goredis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[1], ARGV[1])
end
return 1`)

// greet looks, on each new connection, whether this is still the run of the server that the generations were made in. A server that
// was restarted from a snapshot, and a replica that took over, may have lost the newest generation and hold the one before with the
// entries that belong to it; so then all are dropped, before the connection is used for anything else. After a flush the mark is
// missing, and they are dropped once more than need be.
func (db *DB) greet(ctx context.Context, cn *goredis.Conn) error {
	info, err := cn.Info(ctx, "server").Result()
	if _, refused := errors.AsType[goredis.Error](err); refused {
		return nil // a server that hides INFO cannot be checked
	}
	if err != nil {
		return err
	}
	run := ""
	for line := range strings.Lines(info) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); {
		case name == "redis_mode" && value == "sentinel":
			return nil // it only tells where the server is
		case name == "run_id":
			run = value
		}
	}
	if run == "" {
		return nil
	}
	err = greetScript.Run(ctx, cn, []string{db.key(servidor), db.key(generations)}, run).Err()
	_, moved := goredis.IsMovedError(err)
	_, moving := goredis.IsAskError(err)
	if moved || moving || goredis.IsPermissionError(err) {
		// A node that does not have our slot, an account that may not do this: the command that the connection is for will say
		// it better. Any other answer, such as LOADING, means that the connection must not be used yet.
		return nil
	}
	return err
}
