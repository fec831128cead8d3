package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"siglab/app/cache"
)

// CacheServer is a new and empty cache as its users have it.
type CacheServer struct {
	Replicas []cache.Store // at least two users of it; the same one twice where there cannot be more
	TTL      time.Duration
	Flush    func()              // makes it forget everything
	Elapse   func(time.Duration) // moves its clock on; nil where that cannot be done
}

// Cache checks a cache.Store. open returns a new and empty one each time, which is gone when the test ends.
func Cache(t *testing.T, open func(t *testing.T) CacheServer) {
	for name, test := range map[string]func(*testing.T, CacheServer){
		"generations":             cacheGenerations,
		"generations at once":     cacheGenerationsAtOnce,
		"values":                  cacheValues,
		"old values":              cacheOldValues,
		"write-through":           cacheWriteThrough,
		"life":                    cacheLife,
		"what was answered holds": cacheRace,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func cacheGenerations(t *testing.T, s CacheServer) {
	ctx, a, b := t.Context(), s.Replicas[0], s.Replicas[1]
	seen := map[string]bool{}
	fresh := func(what, gen string, err error) string {
		t.Helper()
		must(t, what, err)
		if gen == "" || seen[gen] {
			t.Errorf("%s: got token %q, want a new one", what, gen)
		}
		seen[gen] = true
		return gen
	}
	same := func(what, want string) {
		t.Helper()
		for i, r := range []cache.Store{a, b} {
			gen, err := r.Generation(ctx, "maquinas")
			must(t, what, err)
			if gen != want {
				t.Errorf("%s: replica %d has token %q, want %q", what, i, gen, want)
			}
			gen, value, err := r.Get(ctx, "maquinas", "nada")
			must(t, what, err)
			if gen != want || value != nil {
				t.Errorf("%s: Get of replica %d returned token %q and %q, want %q and nothing", what, i, gen, value, want)
			}
		}
	}
	gen, err := a.Generation(ctx, "maquinas")
	same("the first token", fresh("Generation", gen, err))
	gen, _, err = b.Get(ctx, "otro", "x")
	fresh("Get in another space", gen, err)
	for range 3 {
		gen, err = b.Advance(ctx, "maquinas", gen, "", nil)
		same("after Advance", fresh("Advance", gen, err))
	}
	s.Flush()
	gen, _, err = a.Get(ctx, "maquinas", "x")
	same("after a flush", fresh("Get after a flush", gen, err))
	s.Flush()
	gen, err = a.Advance(ctx, "maquinas", gen, "x", []byte("v"))
	same("advanced after a flush", fresh("Advance after a flush", gen, err))
}

func cacheGenerationsAtOnce(t *testing.T, s CacheServer) {
	for round := range 20 {
		space := fmt.Sprint("espacio", round)
		var mu sync.Mutex
		got := map[string]bool{}
		together(8, func(i int) {
			r := s.Replicas[i%len(s.Replicas)]
			var gen string
			var err error
			if i%3 == 0 {
				gen, _, err = r.Get(context.WithoutCancel(t.Context()), space, "x")
			} else {
				gen, err = r.Generation(context.WithoutCancel(t.Context()), space)
			}
			if err != nil {
				t.Errorf("Generation: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			got[gen] = true
		})
		if len(got) != 1 {
			t.Errorf("replicas that came first together got %d tokens, want 1", len(got))
		}
	}
}

func cacheValues(t *testing.T, s CacheServer) {
	ctx, a, b := t.Context(), s.Replicas[0], s.Replicas[1]
	values := map[string][]byte{"vacío": {}, "ceros": make([]byte, 10), "grande": bytes.Repeat([]byte("0123456789abcdef"), 1<<15)}
	for _, text := range append(texts, "", "listar", "{otra}", "a:b", "a b\r\nc", long("k", 1000)) {
		values["k"+text] = []byte(text)
	}
	gen, err := a.Generation(ctx, "maquinas")
	must(t, "Generation", err)
	for key, value := range values {
		must(t, "Put", a.Put(ctx, "maquinas", gen, key, value))
	}
	for key, value := range values {
		now, got, err := b.Get(ctx, "maquinas", key)
		must(t, "Get", err)
		if now != gen || got == nil || !bytes.Equal(got, value) {
			t.Errorf("Get of %.20q: got %d bytes (none: %v), want the %d that were put", key, len(got), got == nil, len(value))
		}
		if len(got) > 0 { // it is the caller's own
			got[0]++
			if _, again, err := b.Get(ctx, "maquinas", key); err != nil || !bytes.Equal(again, value) {
				t.Errorf("Get of %.20q: what a caller did to its copy is seen by the next: %v", key, err)
			}
		}
		if _, got, err := b.Get(ctx, "otro", key); err != nil || got != nil {
			t.Errorf("Get of %.20q in another space: got %q, %v", key, got, err)
		}
	}
	must(t, "Put again", b.Put(ctx, "maquinas", gen, "listar", []byte("dos")))
	if _, got, err := a.Get(ctx, "maquinas", "listar"); err != nil || string(got) != "dos" {
		t.Errorf("Get after a second Put: got %q, %v; want %q", got, err, "dos")
	}
	s.Flush()
	if _, got, err := a.Get(ctx, "maquinas", "listar"); err != nil || got != nil {
		t.Errorf("Get after a flush: got %q, %v; want nothing", got, err)
	}
}

func cacheOldValues(t *testing.T, s CacheServer) {
	ctx, a, b := t.Context(), s.Replicas[0], s.Replicas[1]
	nothing := func(what, key string) {
		t.Helper()
		if _, got, err := b.Get(ctx, "maquinas", key); err != nil || got != nil {
			t.Errorf("%s: got %q, %v; want nothing", what, got, err)
		}
	}
	old, err := a.Generation(ctx, "maquinas")
	must(t, "Generation", err)
	other, err := a.Generation(ctx, "otro")
	must(t, "Generation", err)
	must(t, "Put", a.Put(ctx, "maquinas", old, "x", []byte("viejo")))
	must(t, "Put", a.Put(ctx, "otro", other, "x", []byte("ajeno")))
	_, err = b.Advance(ctx, "maquinas", "", "", nil)
	must(t, "Advance", err)
	nothing("what was put before Advance", "x")
	must(t, "a late Put", a.Put(ctx, "maquinas", old, "x", []byte("viejo")))
	nothing("what a slow reader put after Advance", "x")
	s.Flush()
	must(t, "a late Put", a.Put(ctx, "maquinas", old, "x", []byte("viejo")))
	nothing("what a slow reader put after a flush", "x")
	must(t, "a Put without a token", a.Put(ctx, "maquinas", "", "y", []byte("viejo")))
	nothing("what was put under no token", "y")
	s.Flush()
	gen, err := a.Generation(ctx, "otro")
	must(t, "Generation", err)
	must(t, "Put", a.Put(ctx, "otro", gen, "x", []byte("ajeno")))
	_, err = b.Advance(ctx, "maquinas", "", "x", nil)
	must(t, "Advance", err)
	if _, got, err := b.Get(ctx, "otro", "x"); err != nil || string(got) != "ajeno" {
		t.Errorf("Advance of another space: got %q, %v; want %q", got, err, "ajeno")
	}
}

func cacheWriteThrough(t *testing.T, s CacheServer) {
	ctx, a, b := t.Context(), s.Replicas[0], s.Replicas[1]
	for name, test := range map[string]struct {
		between func() // another write, after the token was seen
		value   []byte
		want    string
	}{
		"unpassed":              {func() {}, []byte("nuevo"), "nuevo"},
		"an empty value":        {func() {}, []byte{}, ""},
		"passed":                {func() { _, _ = b.Advance(ctx, "maquinas", "", "otra", nil) }, []byte("nuevo"), "-"},
		"flushed":               {func() { s.Flush() }, []byte("nuevo"), "-"},
		"flushed and refilled":  {func() { s.Flush(); _, _ = b.Generation(ctx, "maquinas") }, []byte("nuevo"), "-"},
		"nothing to be kept":    {func() {}, nil, "-"},
		"a slow reader between": {func() { g, _ := b.Generation(ctx, "maquinas"); _ = b.Put(ctx, "maquinas", g, "x", []byte("viejo")) }, []byte("nuevo"), "nuevo"},
	} {
		t.Run(name, func(t *testing.T) {
			seen, err := a.Generation(ctx, "maquinas")
			must(t, "Generation", err)
			must(t, "Put", a.Put(ctx, "maquinas", seen, "x", []byte("viejo")))
			test.between()
			gen, err := a.Advance(ctx, "maquinas", seen, "x", test.value)
			must(t, "Advance", err)
			now, got, err := b.Get(ctx, "maquinas", "x")
			must(t, "Get", err)
			if now != gen {
				t.Errorf("Get returned token %q, want that of Advance, %q", now, gen)
			}
			text := "-"
			if got != nil {
				text = string(got)
			}
			if text != test.want {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
	if gen, err := a.Advance(ctx, "maquinas", "", "x", []byte("nuevo")); err != nil {
		t.Error(err)
	} else if _, got, err := a.Get(ctx, "maquinas", "x"); err != nil || got != nil {
		t.Errorf("a writer that saw no token wrote %q through under %s, %v", got, gen, err)
	}
}

func cacheLife(t *testing.T, s CacheServer) {
	if s.Elapse == nil {
		t.Skip("the clock of this cache cannot be moved")
	}
	ctx, a := t.Context(), s.Replicas[0]
	gen, err := a.Generation(ctx, "maquinas")
	must(t, "Generation", err)
	const n = 50
	kept := func() (kept int) {
		for i := range n {
			now, got, err := a.Get(ctx, "maquinas", fmt.Sprint(i))
			must(t, "Get", err)
			if now != gen {
				t.Fatalf("the token changed by itself")
			}
			if got != nil {
				kept++
			}
		}
		return kept
	}
	for i := range n {
		must(t, "Put", a.Put(ctx, "maquinas", gen, fmt.Sprint(i), []byte("v")))
	}
	s.Elapse(s.TTL * 8 / 10)
	if got := kept(); got != n {
		t.Errorf("after 8 tenths of the TTL %d of %d entries are there, want all", got, n)
	}
	s.Elapse(s.TTL * 15 / 100)
	if got := kept(); got == 0 || got == n {
		t.Errorf("after 95 hundredths of the TTL %d of %d entries are there, want some: they must not end together", got, n)
	}
	s.Elapse(s.TTL * 5 / 100)
	if got := kept(); got != 0 {
		t.Errorf("after the TTL %d entries are there, want none", got)
	}
}

// cacheRace is the promise itself: from the answer to a write on, nobody is served a value that was read before it was committed,
// whatever readers do meanwhile, and however often the cache is emptied. A little database stands behind the cache, of machines that
// are only versions; a list holds all of them.
func cacheRace(t *testing.T, s CacheServer) {
	const (
		machines = 3
		readers  = 6
		writers  = 3
		rounds   = 400 // of each
		list     = "listar"
	)
	type version = [machines]uint64
	var (
		mu        sync.Mutex // the database's
		committed version
		answered  [machines]atomic.Uint64 // the newest version that a writer was told of
		hits      atomic.Int64
	)
	var rows [machines]sync.Mutex
	read := func() version {
		mu.Lock()
		defer mu.Unlock()
		return committed
	}
	floor := func() (v version) {
		for m := range v {
			v[m] = answered[m].Load()
		}
		return v
	}
	encode := func(v ...uint64) (b []byte) {
		for _, n := range v {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		return b
	}
	// served checks what a reader got that asked when at least want had been answered.
	served := func(how string, value []byte, first int, want []uint64) {
		hits.Add(1)
		if len(value) != 8*len(want) {
			t.Errorf("%s: got %d bytes, want %d", how, len(value), 8*len(want))
			return
		}
		for i := range want {
			if got := binary.BigEndian.Uint64(value[8*i:]); got < want[i] {
				t.Errorf("%s: machine %d was served in version %d after %d had been answered", how, first+i, got, want[i])
			}
		}
	}
	ctx := context.WithoutCancel(t.Context())
	seeds := newRand(t)
	var all sync.WaitGroup
	start := make(chan struct{})
	run := func(n int, each func(r *mathrand.Rand, s cache.Store)) {
		for i := range n {
			r, store := mathrand.New(mathrand.NewPCG(seeds.Uint64(), 0)), s.Replicas[i%len(s.Replicas)]
			all.Go(func() {
				<-start
				for range rounds {
					each(r, store)
				}
			})
		}
	}
	// dawdle lets the others go first, now and then for long.
	dawdle := func(r *mathrand.Rand) {
		for n := r.IntN(4) * r.IntN(4) * r.IntN(8); n > 0; n-- {
			runtime.Gosched()
		}
	}
	fail := func(what string, err error) bool {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return err != nil
	}

	run(readers, func(r *mathrand.Rand, s cache.Store) {
		want := floor()
		key, first, last := list, 0, machines
		if m := r.IntN(2 * machines); m < machines {
			key, first, last = fmt.Sprint(m), m, m+1
		}
		gen, value, err := s.Get(ctx, "maquinas", key)
		if fail("Get", err) {
			return
		}
		if value != nil {
			served("Get", value, first, want[first:last])
		} else {
			v := read()
			value = encode(v[first:last]...)
			dawdle(r)
			if fail("Put", s.Put(ctx, "maquinas", gen, key, value)) {
				return
			}
		}
		// What a pod holds near may be served as long as the token is the one that it was read under.
		dawdle(r)
		want = floor()
		now, err := s.Generation(ctx, "maquinas")
		if !fail("Generation", err) && now == gen {
			served("near", value, first, want[first:last])
		}
	})
	run(writers, func(r *mathrand.Rand, s cache.Store) {
		m := r.IntN(machines)
		seen, err := s.Generation(ctx, "maquinas")
		if fail("Generation", err) {
			return
		}
		dawdle(r)
		rows[m].Lock()
		mu.Lock()
		committed[m]++
		v := committed[m]
		mu.Unlock()
		rows[m].Unlock()
		dawdle(r)
		key, value := fmt.Sprint(m), encode(v)
		if r.IntN(8) == 0 {
			key, value = "", nil
		}
		if _, err = s.Advance(ctx, "maquinas", seen, key, value); fail("Advance", err) {
			return
		}
		for {
			before := answered[m].Load()
			if before >= v || answered[m].CompareAndSwap(before, v) {
				return
			}
		}
	})
	run(1, func(r *mathrand.Rand, _ cache.Store) {
		dawdle(r)
		if r.IntN(20) == 0 {
			s.Flush()
		}
	})
	close(start)
	all.Wait()
	if n := hits.Load(); n < rounds {
		t.Errorf("only %d values came out of the cache: this shows nothing", n)
	}
}
