package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// ErrUnsettled says that a write of this replica was committed but not announced yet, so nothing cached may be trusted here.
var ErrUnsettled = errors.New("cache: a write is not announced yet")

// Cache reads through a Store. Its methods are safe for concurrent use; Run must be running for writes to be announced after
// the store was down.
type Cache struct {
	store   Store
	observe func(cache, result string)
	flights singleflight.Group

	mu        sync.Mutex
	last      map[string]string // the token that this replica saw last, by space
	unsettled map[string]uint64 // spaces whose last write is not announced, with a count that grows with each such write
	writes    map[string]uint64 // writes of this replica, by space

	looks, announcements map[string]*rounds // by space
	wake                 chan struct{}
}

// New makes a cache. observe is told of each read: the cache's name and "hit" or "miss".
func New(store Store, observe func(cache, result string)) *Cache {
	return &Cache{
		store: store, observe: observe,
		last: map[string]string{}, unsettled: map[string]uint64{}, writes: map[string]uint64{},
		looks: map[string]*rounds{}, announcements: map[string]*rounds{},
		wake: make(chan struct{}, 1),
	}
}

// Generation returns the space's current token. An error means that none can be had, and nothing cached may be served but
// what a caller marks as old.
func (c *Cache) Generation(ctx context.Context, space string) (string, error) {
	c.mu.Lock()
	unsettled, looks := c.unsettled[space] > 0, roundsOf(c.looks, space)
	c.mu.Unlock()
	if unsettled {
		return "", ErrUnsettled
	}
	return looks.join(ctx, func(ctx context.Context, _ int) (string, error) {
		gen, err := c.store.Generation(ctx, space)
		if err == nil {
			c.saw(space, gen)
		}
		return gen, err
	})
}

// roundsOf returns a space's rounds. Called with mu held.
func roundsOf(all map[string]*rounds, space string) *rounds {
	r := all[space]
	if r == nil {
		r = &rounds{}
		all[space] = r
	}
	return r
}

// Seen returns the token that this replica saw last, to be handed to Advance by a writer that takes it before it commits.
func (c *Cache) Seen(space string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[space]
}

// Advance announces a committed write, with the changed entry when there is one to write through, and returns when every
// replica will see it. If the store is down it returns too: this replica then reads past the cache until Run has announced
// the write, and another serves nothing that is older than the store's TTL.
func (c *Cache) Advance(ctx context.Context, space, seen, key string, value any) {
	c.mu.Lock()
	c.writes[space]++
	announcements := roundsOf(c.announcements, space)
	c.mu.Unlock()
	var b []byte
	if value != nil {
		var err error
		if b, err = json.Marshal(value); err != nil {
			panic(fmt.Sprintf("cache: %T does not marshal: %v", value, err)) // a fault of the program, not of its input
		}
	}
	_, err := announcements.join(ctx, func(ctx context.Context, writers int) (string, error) {
		if writers > 1 { // what one wrote through, another's next write would make void
			seen, key, b = "", "", nil
		}
		gen, err := c.store.Advance(ctx, space, seen, key, b)
		if err == nil {
			c.saw(space, gen)
		}
		return gen, err
	})
	if err == nil {
		return
	}
	c.mu.Lock()
	c.unsettled[space]++
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run announces the writes that could not be announced at once, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	retry := time.NewTicker(200 * time.Millisecond)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-retry.C:
		}
		c.mu.Lock()
		pending := make(map[string]uint64, len(c.unsettled))
		for space, n := range c.unsettled {
			pending[space] = n
		}
		c.mu.Unlock()
		for space, n := range pending {
			gen, err := c.store.Advance(ctx, space, "", "", nil)
			if err != nil {
				continue
			}
			c.saw(space, gen)
			c.mu.Lock()
			if c.unsettled[space] == n { // no further write failed meanwhile
				delete(c.unsettled, space)
			}
			c.mu.Unlock()
		}
	}
}

func (c *Cache) saw(space, gen string) {
	c.mu.Lock()
	c.last[space] = gen
	c.mu.Unlock()
}

func (c *Cache) isUnsettled(space string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsettled[space] > 0
}

// Read returns an entry's value, or has load make it and keeps that. Callers who miss at the same time share one load. name
// labels the metric. A store that is down costs a load, never an error.
func Read[T any](ctx context.Context, c *Cache, name, space, key string, load func(context.Context) (T, error)) (T, error) {
	v, _, err := ReadGeneration(ctx, c, name, space, key, load)
	return v, err
}

// ReadGeneration is Read, and returns the token under which the value is the current one too; empty when the store did not say.
func ReadGeneration[T any](ctx context.Context, c *Cache, name, space, key string, load func(context.Context) (T, error)) (T, string, error) {
	var zero T
	var gen string
	var value []byte
	err := ErrUnsettled
	if !c.isUnsettled(space) {
		gen, value, err = c.store.Get(ctx, space, key)
	}
	if err == nil {
		c.saw(space, gen)
		var v T
		if value != nil && json.Unmarshal(value, &v) == nil {
			c.observe(name, "hit")
			return v, gen, nil
		}
	} else if ctx.Err() != nil {
		return zero, "", ctx.Err()
	} else {
		gen = ""
	}
	c.observe(name, "miss")
	// A caller may only share a load that began after every write it could know of: one under the same token or, without
	// tokens, one that began after this replica's last write.
	flight := gen
	if err != nil {
		c.mu.Lock()
		flight = fmt.Sprint(c.writes[space])
		c.mu.Unlock()
	}
	done := c.flights.DoChan(space+"\x00"+key+"\x00"+flight, func() (result any, failure error) {
		defer func() {
			if p := recover(); p != nil { // singleflight would end the process
				failure = fmt.Errorf("cache: loading %s: panic: %v\n%s", key, p, debug.Stack())
			}
		}()
		ctx := context.WithoutCancel(ctx) // the others must not lose the load with the one who began it
		v, loadErr := load(ctx)
		if loadErr == nil && err == nil {
			if b, e := json.Marshal(v); e == nil {
				_ = c.store.Put(ctx, space, gen, key, b) // only a later read is slower for it
			}
		}
		return v, loadErr
	})
	select {
	case r := <-done:
		v, _ := r.Val.(T)
		return v, gen, r.Err
	case <-ctx.Done():
		return zero, "", ctx.Err()
	}
}
