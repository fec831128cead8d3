package memory

import (
	"bytes"
	"container/list"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"siglab/app/cache"
)

// entryCost is roughly what an entry takes beside its texts: two list and map cells and a header.
const entryCost = 256

var _ cache.Store = (*Cache)(nil)

// Cache is a cache.Store in this process. What was used longest ago gives way when it is full.
type Cache struct {
	max int64
	ttl time.Duration
	now func() time.Time

	mu          sync.Mutex
	generations map[string]string // one a space; spaces are few and fixed, so nothing bounds them
	entries     map[entryKey]*list.Element
	used        *list.List // of *entry, the last used in front
	size        int64
}

type entryKey struct{ space, key string }

type entry struct {
	entryKey
	gen     string
	value   []byte
	expires time.Time
}

func (e *entry) cost() int64 { return entryCost + int64(len(e.space)+len(e.key)+len(e.value)) }

// NewCache makes a cache of at most maxBytes whose entries live for ttl.
func NewCache(maxBytes int64, ttl time.Duration, now func() time.Time) *Cache {
	return &Cache{max: maxBytes, ttl: ttl, now: now,
		generations: map[string]string{}, entries: map[entryKey]*list.Element{}, used: list.New()}
}

// Generation implements cache.Store.
func (c *Cache) Generation(_ context.Context, space string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation(space), nil
}

func (c *Cache) generation(space string) string {
	gen, ok := c.generations[space]
	if !ok {
		gen = token()
		c.generations[space] = gen
	}
	return gen
}

// Get implements cache.Store. The value is the caller's own.
func (c *Cache) Get(_ context.Context, space, key string) (string, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gen := c.generation(space)
	el, ok := c.entries[entryKey{space, key}]
	if !ok {
		return gen, nil, nil
	}
	e := el.Value.(*entry)
	if e.gen != gen || !c.now().Before(e.expires) {
		c.remove(el)
		return gen, nil, nil
	}
	c.used.MoveToFront(el)
	return gen, append([]byte{}, e.value...), nil
}

// Put implements cache.Store.
func (c *Cache) Put(_ context.Context, space, gen, key string, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gen == c.generation(space) { // an entry that can never be read would only push out one that can
		c.put(space, gen, key, value)
	}
	return nil
}

// Advance implements cache.Store.
func (c *Cache) Advance(_ context.Context, space, seen, key string, value []byte) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unpassed := seen != "" && c.generations[space] == seen
	gen := token()
	c.generations[space] = gen
	if key == "" {
		return gen, nil
	}
	if el, ok := c.entries[entryKey{space, key}]; ok {
		c.remove(el)
	}
	if unpassed && value != nil {
		c.put(space, gen, key, value)
	}
	return gen, nil
}

// Flush forgets everything, as a flushed Redis does.
func (c *Cache) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.generations)
	clear(c.entries)
	c.used.Init()
	c.size = 0
}

// Size returns how many bytes the entries take, roughly.
func (c *Cache) Size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

func (c *Cache) put(space, gen, key string, value []byte) {
	if el, ok := c.entries[entryKey{space, key}]; ok {
		c.remove(el)
	}
	// Entries that were made together must not end together, or their readers all go to the database at once.
	life := c.ttl - time.Duration(rand.Int64N(int64(c.ttl)/10+1))
	e := &entry{entryKey: entryKey{space, key}, gen: gen, value: bytes.Clone(value), expires: c.now().Add(life)}
	if e.cost() > c.max {
		return
	}
	c.entries[e.entryKey] = c.used.PushFront(e)
	c.size += e.cost()
	for c.size > c.max {
		c.remove(c.used.Back())
	}
}

func (c *Cache) remove(el *list.Element) {
	e := el.Value.(*entry)
	c.used.Remove(el)
	delete(c.entries, e.entryKey)
	c.size -= e.cost()
}
