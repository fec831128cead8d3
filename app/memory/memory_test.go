package memory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"siglab/app/cache"
	"siglab/app/memory"
	"siglab/app/storetest"
	"siglab/app/usuarios"
)

func TestCache(t *testing.T) {
	storetest.Cache(t, func(t *testing.T) storetest.CacheServer {
		clock := storetest.NewClock()
		c := memory.NewCache(10<<20, time.Minute, clock.Now)
		return storetest.CacheServer{Replicas: []cache.Store{c, c}, TTL: time.Minute, Flush: c.Flush, Elapse: clock.Advance}
	})
}

func TestSessions(t *testing.T) {
	storetest.Sessions(t, func(t *testing.T) [2]usuarios.Sessions {
		s := memory.NewSessions(1000)
		return [2]usuarios.Sessions{s, s}
	})
}

func TestLimiter(t *testing.T) {
	storetest.Limiter(t, func(t *testing.T) storetest.LimiterServer {
		clock := storetest.NewClock()
		l := memory.NewLimiter(1000, clock.Now)
		return storetest.LimiterServer{Replicas: [2]usuarios.Limiter{l, l}, Elapse: clock.Advance}
	})
}

func TestCacheIsBounded(t *testing.T) {
	const most = 100 << 10
	c := memory.NewCache(most, time.Minute, time.Now)
	ctx := t.Context()
	gen, _ := c.Generation(ctx, "s")
	put := func(key string, size int) {
		if err := c.Put(ctx, "s", gen, key, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if c.Size() > most {
			t.Fatalf("it holds %d bytes, want at most %d", c.Size(), most)
		}
	}
	has := func(key string) bool {
		_, v, _ := c.Get(ctx, "s", key)
		return v != nil
	}
	for i := range 10_000 {
		put(fmt.Sprint(i), 1000)
		if !has("0") { // it is used all the time
			t.Fatalf("the entry used last was dropped when %d were put", i+1)
		}
	}
	if has("1") || !has("9999") {
		t.Errorf("got an old entry: %v, the newest: %v; want false, true", has("1"), has("9999"))
	}
	put("enorme", most+1)
	if has("enorme") {
		t.Error("an entry that is larger than the cache was kept")
	}
	if !has("9999") {
		t.Error("an entry that is larger than the cache pushed out others")
	}
	c.Flush()
	if c.Size() != 0 {
		t.Errorf("a flushed cache holds %d bytes", c.Size())
	}
}

func TestSessionsAreBounded(t *testing.T) {
	const most = 50
	s := memory.NewSessions(most)
	ctx, at := t.Context(), time.Now()
	ses := func(i int) usuarios.Session {
		return usuarios.Session{ID: fmt.Sprint(i), Began: at, Expires: at.Add(time.Hour)}
	}
	for i := range 10 * most {
		_ = s.Open(ctx, ses(i), at.Add(time.Duration(i)*time.Millisecond))
		if i%3 == 0 {
			_ = s.Close(ctx, fmt.Sprint(i))
		}
		list, _ := s.Active(ctx, at)
		if len(list) > most {
			t.Fatalf("it holds %d sessions, want at most %d", len(list), most)
		}
	}
	list, _ := s.Active(ctx, at)
	newest := false
	for _, a := range list {
		newest = newest || a.ID == fmt.Sprint(10*most-1)
	}
	if !newest {
		t.Error("the newest session is not there")
	}
}

// A flood of keys takes room, but gives nobody attempts back who had spent his.
func TestLimiterIsBounded(t *testing.T) {
	clock := storetest.NewClock()
	l := memory.NewLimiter(100, clock.Now)
	spend := func(key string, n int) (wait time.Duration) {
		for range n {
			wait, _ = l.Allow(context.Background(), key, 5)
		}
		return wait
	}
	if spend("ana", 6) == 0 {
		t.Fatal("a sixth attempt of five was allowed")
	}
	for i := range 10_000 {
		if spend(fmt.Sprint("otra-", i), 1) != 0 {
			t.Fatalf("the first attempt of key %d was refused", i)
		}
	}
	if l.Len() > 100 {
		t.Errorf("it remembers %d keys, want at most 100", l.Len())
	}
	if spend("ana", 1) == 0 {
		t.Error("a flood of other keys gave a key its attempts back")
	}
	clock.Advance(time.Minute)
	if before := l.Len(); spend("nueva", 1) != 0 || l.Len() >= before {
		t.Errorf("it remembers %d keys after a minute, before it was %d: want fewer", l.Len(), before)
	}
}
