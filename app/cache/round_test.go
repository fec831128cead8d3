package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"siglab/app/cache"
)

// slow is a store whose generation is the moment at which a look at it began.
type slow struct {
	cache.Store
	takes  time.Duration
	breaks int // the look that panics

	mu    sync.Mutex
	looks int
}

func (s *slow) Generation(context.Context, string) (string, error) {
	s.mu.Lock()
	s.looks++
	panics := s.looks == s.breaks
	s.mu.Unlock()
	began := time.Now()
	time.Sleep(s.takes)
	if panics {
		panic("broken")
	}
	return began.Format(time.StampNano), nil
}

// asked is what one caller got, and when.
type asked struct {
	came, ended time.Time
	gen         string
	err         error
}

// ask has a caller come at each of the moments, counted from now, and returns what each got.
func ask(t *testing.T, c *cache.Cache, moments ...time.Duration) []asked {
	t.Helper()
	all := make([]asked, len(moments))
	var callers sync.WaitGroup
	for i, after := range moments {
		callers.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					all[i].err = errors.New(fmt.Sprint(p))
				}
			}()
			time.Sleep(after)
			all[i].came = time.Now()
			all[i].gen, all[i].err = c.Generation(t.Context(), space)
			all[i].ended = time.Now()
		})
	}
	callers.Wait()
	return all
}

// TestASharedLookBeginsAfterItsCallers lets callers come before, while and after a look is under way. However many share one, none gets
// what was looked for before it came: a write may have been answered in between.
func TestASharedLookBeginsAfterItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{takes: 2 * time.Millisecond}
		moments := []time.Duration{0}
		for i := range 40 {
			moments = append(moments, time.Duration(i)*100*time.Microsecond+time.Nanosecond)
		}
		for i, a := range ask(t, newCache(store), moments...) {
			began, err := time.Parse(time.StampNano, a.gen)
			if err != nil || a.err != nil {
				t.Fatal(err, a.err)
			}
			if came, _ := time.Parse(time.StampNano, a.came.Format(time.StampNano)); began.Before(came) {
				t.Errorf("caller %d came at %s and got what was looked for at %s", i, came, began)
			}
			if waited := a.ended.Sub(a.came); waited > 2*store.takes {
				t.Errorf("caller %d waited %s, more than for two looks", i, waited)
			}
		}
		if store.looks > 4 {
			t.Errorf("%d looks for %d callers in 4 ms, each of 2 ms", store.looks, len(moments))
		}
	})
}

// A store that hangs costs its timeout once: who comes later does not wait in line for it.
func TestALookThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{takes: 250 * time.Millisecond}
		all := ask(t, newCache(store), 0, time.Millisecond, 6*time.Millisecond, 100*time.Millisecond)
		for i, most := range []time.Duration{250, 499, 250, 250} {
			if waited := all[i].ended.Sub(all[i].came); waited != most*time.Millisecond || all[i].err != nil {
				t.Errorf("caller %d waited %s, %v; want %d ms", i, waited, all[i].err, most)
			}
		}
	})
}

// Those who share a look that panics are told that nothing cached may be served, and the next look works.
func TestASharedLookThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{takes: 2 * time.Millisecond, breaks: 2}
		all := ask(t, newCache(store), 0, time.Millisecond, time.Millisecond+1, 3*time.Millisecond)
		if all[0].err != nil || all[1].err == nil || !errors.Is(all[2].err, cache.ErrUnsettled) || all[3].err != nil {
			t.Errorf("got %v, %v, %v, %v", all[0].err, all[1].err, all[2].err, all[3].err)
		}
	})
}

// Who gives up does not take the look away from the others.
func TestACallerThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(&slow{takes: 2 * time.Millisecond})
		impatient, cancel := context.WithTimeout(t.Context(), 1500*time.Microsecond)
		defer cancel()
		var gaveUp sync.WaitGroup
		for _, after := range []time.Duration{time.Millisecond, time.Millisecond + 2} { // the first of them leads the next look
			gaveUp.Go(func() {
				time.Sleep(after)
				_, _ = c.Generation(impatient, space)
			})
		}
		for i, a := range ask(t, c, 0, time.Millisecond+1) {
			if a.err != nil {
				t.Errorf("caller %d: %v", i, a.err)
			}
		}
		gaveUp.Wait()
	})
}

// announced is a store that notes when each announcement of a write began.
type announced struct {
	slow
	begun   []time.Time
	through int // values that were written through
}

func (s *announced) Advance(_ context.Context, _, _, _ string, value []byte) (string, error) {
	s.mu.Lock()
	s.begun = append(s.begun, time.Now())
	if value != nil {
		s.through++
	}
	s.mu.Unlock()
	time.Sleep(s.takes)
	return "g", nil
}

// TestASharedAnnouncementBeginsAfterItsWrites lets writers announce at the same time. When Advance returns, an announcement has ended that
// began after the write, however many share it.
func TestASharedAnnouncementBeginsAfterItsWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &announced{slow: slow{takes: 2 * time.Millisecond}}
		c := newCache(store)
		var writers sync.WaitGroup
		for i := range 41 {
			writers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				committed := time.Now()
				c.Advance(t.Context(), space, "", fmt.Sprint(i), i)
				answered := time.Now()
				store.mu.Lock()
				defer store.mu.Unlock()
				for _, began := range store.begun {
					if !began.Before(committed) && !began.Add(store.takes).After(answered) {
						return
					}
				}
				t.Errorf("the write of %s was answered at %s, and announced by none of %v", committed, answered, store.begun)
			})
		}
		writers.Wait()
		if len(store.begun) > 4 || store.through > 2 {
			t.Errorf("%d announcements for 41 writers in 4 ms, each of 2 ms; %d values written through, want those of the first and the last, who may be alone", len(store.begun), store.through)
		}
	})
}
