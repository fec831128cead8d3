package cache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"siglab/app/cache"
	"siglab/app/memory"
)

const space = "maquinas"

func newCache(store cache.Store) *cache.Cache { return cache.New(store, func(string, string) {}) }

func sharedStore() cache.Store { return memory.NewCache(1<<20, time.Minute, time.Now) }

// Two replicas read and write one number through a shared store. From a writer's return on, no reader of either replica may get a
// number from before that write, however slow it or another reader is.
func TestNoReaderSeesTheTimeBeforeAnAnsweredWrite(t *testing.T) {
	store := sharedStore()
	replicas := []*cache.Cache{newCache(store), newCache(store)}
	var database, answered atomic.Int64
	var write sync.Mutex // the database serialises its commits; announcements overlap
	ctx := t.Context()
	dawdle := func() {
		for range rand.IntN(4) {
			runtime.Gosched()
		}
	}
	var all sync.WaitGroup
	for i := range 4 {
		replica := replicas[i%2]
		all.Go(func() {
			for range 2000 {
				seen := replica.Seen(space)
				dawdle()
				write.Lock()
				n := database.Add(1)
				write.Unlock()
				dawdle()
				replica.Advance(ctx, space, seen, "n", n)
				for old := answered.Load(); n > old && !answered.CompareAndSwap(old, n); old = answered.Load() {
				}
			}
		})
		all.Go(func() {
			for range 4000 {
				least := answered.Load()
				got, err := cache.Read(ctx, replica, "n", space, "n", func(context.Context) (int64, error) {
					n := database.Load()
					dawdle()
					return n, nil
				})
				if err != nil || got < least {
					t.Errorf("read %d, %v after the write of %d was answered", got, err, least)
					return
				}
			}
		})
	}
	all.Wait()
}

// downable is a store that can be made to fail.
type downable struct {
	cache.Store
	down atomic.Bool
}

var errDown = errors.New("down")

func (d *downable) Generation(ctx context.Context, space string) (string, error) {
	if d.down.Load() {
		return "", errDown
	}
	return d.Store.Generation(ctx, space)
}

func (d *downable) Get(ctx context.Context, space, key string) (string, []byte, error) {
	if d.down.Load() {
		return "", nil, errDown
	}
	return d.Store.Get(ctx, space, key)
}

func (d *downable) Advance(ctx context.Context, space, seen, key string, value []byte) (string, error) {
	if d.down.Load() {
		return "", errDown
	}
	return d.Store.Advance(ctx, space, seen, key, value)
}

func TestAWriteThatCouldNotBeAnnouncedIsAnnouncedLater(t *testing.T) {
	inner := sharedStore()
	store := &downable{Store: inner}
	writer, other := newCache(store), newCache(inner)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { writer.Run(ctx) })
	defer running.Wait()
	defer stop()
	read := func(c *cache.Cache, database string) string {
		got, err := cache.Read(t.Context(), c, "n", space, "n", func(context.Context) (string, error) { return database, nil })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	read(writer, "old")

	store.down.Store(true)
	writer.Advance(t.Context(), space, writer.Seen(space), "", nil)
	if got := read(writer, "new"); got != "new" {
		t.Errorf("the writer's replica reads %q while the store is down, want what the database holds", got)
	}
	if _, err := writer.Generation(t.Context(), space); err == nil {
		t.Error("the writer's replica has a generation while its write is not announced")
	}
	store.down.Store(false)
	deadline := time.Now().Add(10 * time.Second)
	for read(other, "new") != "new" {
		if time.Now().After(deadline) {
			t.Fatal("the other replica never learns of the write")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestReadersWhoMissShareOneLoad(t *testing.T) {
	c := newCache(sharedStore())
	release := make(chan struct{})
	var loads atomic.Int64
	var began, all sync.WaitGroup
	for range 50 {
		began.Add(1)
		all.Go(func() {
			began.Done()
			got, err := cache.Read(t.Context(), c, "n", space, "n", func(context.Context) (int, error) {
				loads.Add(1)
				<-release
				return 7, nil
			})
			if got != 7 || err != nil {
				t.Errorf("got %d, %v, want 7", got, err)
			}
		})
	}
	began.Wait()
	for loads.Load() == 0 {
		runtime.Gosched()
	}
	close(release)
	all.Wait()
	if n := loads.Load(); n > 10 { // those who came after the first load ended find its value, or load once more
		t.Errorf("50 readers made %d loads", n)
	}
}

func TestALoadOutlivesTheReaderWhoBeganIt(t *testing.T) {
	c := newCache(sharedStore())
	ctx, cancel := context.WithCancel(t.Context())
	loading, release := make(chan struct{}), make(chan struct{})
	load := func(ctx context.Context) (int, error) {
		close(loading)
		<-release
		return 7, ctx.Err()
	}
	first := make(chan error, 1)
	go func() {
		_, err := cache.Read(ctx, c, "n", space, "n", load)
		first <- err
	}()
	<-loading
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the reader who gave up: got %v, want Canceled", err)
	}
	close(release)
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, err := cache.Read(t.Context(), c, "n", space, "n", func(context.Context) (int, error) { return 0, nil })
		if got == 7 && err == nil {
			return // the load that was begun for another was kept
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %d, %v, want the value of the first load", got, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAPanicInALoadIsAnError(t *testing.T) {
	c := newCache(sharedStore())
	_, err := cache.Read(t.Context(), c, "n", space, "n", func(context.Context) (int, error) { panic("oh") })
	if err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("got %v, want an error that tells of the panic", err)
	}
}
