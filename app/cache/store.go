// Package cache keeps answers that are costly to make, under a generation that every write replaces, so that what is served
// after a write was answered never predates it.
package cache

import "context"

// Store is what a cache is kept in: Redis, or this process's memory. It may forget anything at any time.
//
// A space has a generation, a random token. An entry carries the generation under which its value was read, and holds only
// while that is still the space's generation: a slow reader can put an old value back, but not make it current. Tokens are
// random, not counted, since a counter would repeat itself after a flush.
type Store interface {
	// Generation returns the space's token, and makes one when there is none.
	Generation(ctx context.Context, space string) (string, error)
	// Get returns the space's token as Generation does and, in the same round trip, the entry's value if it was put under that
	// token, else nil.
	Get(ctx context.Context, space, key string) (gen string, value []byte, err error)
	// Put keeps a value that was read after gen was seen. It lives for the store's TTL, with some jitter.
	Put(ctx context.Context, space, gen, key string, value []byte) error
	// Advance replaces the space's token, in one atomic step, after a write was committed, and returns the new one. If the token
	// was still seen, which the writer had seen before it committed, no other write can have passed it: value is then kept
	// under the new token (write-through). Otherwise the entry is removed. An empty key touches no entry.
	Advance(ctx context.Context, space, seen, key string, value []byte) (string, error)
}
