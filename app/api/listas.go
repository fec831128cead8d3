package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"siglab/app/errs"
	"siglab/app/maquinas"
	"siglab/app/telemetry"
)

const (
	// nearEntries and nearBytes bound the near cache; an entry counts twice its plain size, for its compressed forms.
	nearEntries = 256
	nearBytes   = 32 << 20
	// staleLife is how long the last whole list is served while the machines' store is down. Source: design, "When something is
	// down".
	staleLife = 10 * time.Minute
)

// list is an encoded list as it is answered: its body in each coding that was asked for, and the headers that go with it.
type list struct {
	gen       string       // the generation of the cache under which it was read
	loaded    time.Time    // when it was read from the store
	confirmed atomic.Int64 // Unix nanoseconds of the last moment at which it was known to be current

	body     []byte
	link     []string // nil on the last page
	total    []string
	variants [codings]variant
}

// variant is one coding of a list.
type variant struct {
	once     sync.Once
	etag     string
	etags    []string // header values, shared by all answers
	encoding []string
	length   []string
	body     []byte
}

// Shared header values.
type listHeaders struct {
	json, cacheControl, vary []string
}

func newListHeaders() listHeaders {
	return listHeaders{
		json:         []string{"application/json"},
		cacheControl: []string{"private, no-cache"},
		vary:         []string{"Accept-Encoding, Authorization, Cookie"},
	}
}

// newList encodes a page. next is the URL of the next page, empty on the last.
func newList(rows any, total int64, next string) *list {
	l := &list{body: encode(rows), total: []string{strconv.FormatInt(total, 10)}}
	if next != "" {
		l.link = []string{"<" + next + `>; rel="next"`}
	}
	// The headers belong to what a client keeps, so a change of them is a change of the list.
	sum := digest(l.body, []byte(next), []byte(l.total[0]))
	for c := range codings {
		v := &l.variants[c]
		v.etag = `"` + sum + c.suffix() + `"`
		v.etags = []string{v.etag}
		if c != plain {
			v.encoding = []string{c.String()}
		}
	}
	return l
}

// variant returns a coding of the list, which is made when it is first asked for.
func (l *list) variant(c *compressor, how coding) *variant {
	v := &l.variants[how]
	v.once.Do(func() {
		v.body = c.compress(l.body, how)
		v.length = []string{strconv.Itoa(len(v.body))}
	})
	return v
}

// answer sends the list, or 304 when the client has it.
func (x *exchange) answer(l *list) {
	a := x.api
	how := plain
	if len(l.body) >= minCompressed {
		how = codingFor(x.r)
	}
	h := x.Header()
	h["Cache-Control"] = a.lists.cacheControl
	h["X-Total-Count"] = l.total
	if l.link != nil {
		h["Link"] = l.link
	}
	if h["Vary"] == nil {
		h["Vary"] = a.lists.vary
	} else { // CORS has set it
		h.Add("Vary", a.lists.vary[0])
	}
	v := &l.variants[how]
	h["Etag"] = v.etags
	if inm := x.r.Header["If-None-Match"]; inm != nil {
		if found, ok := matches(inm, v.etag, true); found && ok {
			x.WriteHeader(http.StatusNotModified)
			return
		}
	}
	v = l.variant(a.compressor, how)
	h["Content-Type"] = a.lists.json
	h["Content-Length"] = v.length
	if v.encoding != nil {
		h["Content-Encoding"] = v.encoding
	}
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(v.body)
}

// near is this process's cache of encoded first pages. It is the fast path of listar: a hit asks for the generation, one tiny round trip, and
// copies bytes; nothing is decoded, encoded or compressed. TestNearAnswersTheSame holds it against the plain path.
type near struct {
	service *maquinas.Service
	metrics *telemetry.Metrics
	ttl     time.Duration
	now     func() time.Time
	flights singleflight.Group

	mu      sync.Mutex
	entries *lru.Cache[string, *list]
	bytes   int

	machines *lru.Cache[string, *one] // single ones, by key

	whole atomic.Pointer[list] // the last whole list, for when it cannot be read
	aged  atomic.Bool          // the metric of the stale list's age is not 0
}

func newNear(cfg Config) (*near, error) {
	n := &near{service: cfg.Maquinas, metrics: cfg.Telemetry.Metrics, ttl: cfg.CacheTTL, now: cfg.Now}
	var err error
	n.entries, err = lru.NewWithEvict(nearEntries, func(_ string, l *list) { n.bytes -= 2 * len(l.body) }) // runs under mu
	if err != nil {
		return nil, err
	}
	n.machines, err = lru.New[string, *one](nearMachines)
	return n, err
}

// get returns the list that was read under gen, or nil.
func (n *near) get(key, gen string) *list {
	n.mu.Lock()
	l, ok := n.entries.Get(key)
	n.mu.Unlock()
	if !ok || l.gen != gen {
		return nil
	}
	now := n.now()
	if now.Sub(l.loaded) > n.ttl {
		return nil
	}
	l.confirmed.Store(now.UnixNano())
	return l
}

func (n *near) put(key string, l *list) {
	size := 2 * len(l.body)
	if size > nearBytes/4 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entries.Remove(key)
	for n.bytes+size > nearBytes {
		n.entries.RemoveOldest()
	}
	n.bytes += size
	n.entries.Add(key, l)
}

// stale returns the last whole list and its age, if it is young enough.
func (n *near) stale() (*list, time.Duration) {
	l := n.whole.Load()
	if l == nil {
		return nil, 0
	}
	age := n.now().Sub(time.Unix(0, l.confirmed.Load()))
	if age > staleLife {
		return nil, 0
	}
	return l, max(0, age)
}

// fresh notes that a list was had.
func (n *near) fresh() {
	if n.aged.Load() && n.aged.CompareAndSwap(true, false) {
		n.metrics.CacheStaleAge(0)
	}
}

// listMaquinas answers a page of machines at path. Its deadline begins where work does: a timer is a good part of what a hit costs, and the
// one thing that a hit waits for has a bound of its own.
func (x *exchange) listMaquinas(ctx context.Context, path string, c maquinas.Consulta) error {
	n := x.api.near
	q, err := maquinas.NewQuery(c)
	if err != nil {
		return err
	}
	key, gen := "", ""
	if q.After == nil && q.Buscar == "" { // further pages and searches are as many as people can think of
		gen, err = n.service.Cache.Generation(ctx, maquinas.Space)
		if err == nil {
			key = listKey(path, c)
			if l := n.get(key, gen); l != nil {
				n.metrics.CacheRequest("listar", "near")
				n.fresh()
				x.answer(l)
				return nil
			}
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, x.api.cfg.Timeout)
	defer cancel()
	load := func(ctx context.Context) (*list, error) { return x.api.loadMaquinas(ctx, path, c, q, gen) }
	var l *list
	if key != "" {
		l, err = n.share(ctx, key, gen, load)
	} else {
		l, err = load(ctx)
	}
	if err == nil {
		n.fresh()
		x.answer(l)
		return nil
	}
	if q.Whole() && err != error(errOverload) && errs.KindOf(err) == errs.Unavailable {
		if old, age := n.stale(); old != nil {
			n.metrics.CacheRequest("listar", "stale")
			n.metrics.CacheStaleAge(age)
			n.aged.Store(true)
			x.Header().Set("Age", strconv.Itoa(int(age.Seconds())))
			x.Header().Set("Warning", `110 - "Response is Stale"`)
			x.answer(old)
			return nil
		}
	}
	return err
}

// loadMaquinas reads and encodes a page.
func (a *API) loadMaquinas(ctx context.Context, path string, c maquinas.Consulta, q maquinas.Query, gen string) (*list, error) {
	var l *list
	err := a.limit.do(ctx, ofMachines, func() error {
		began := a.cfg.Now()
		p, err := a.cfg.Maquinas.List(ctx, q)
		if err != nil {
			return err
		}
		rows := make([]Maquina, len(p.Items))
		for i, m := range p.Items {
			rows[i] = maquinaOf(m)
		}
		l = newList(rows, p.Total, nextURL(path, consultaValues(c), p.Next))
		l.gen, l.loaded = gen, p.At
		l.confirmed.Store(began.UnixNano())
		return nil
	})
	if err == nil && q.Whole() {
		if old := a.near.whole.Load(); old == nil || l.confirmed.Load() >= old.confirmed.Load() {
			a.near.whole.Store(l)
		}
	}
	return l, err
}

// share has one caller load what several miss at once, and keeps it. They may share it, for all saw the same generation before it was
// read.
func (n *near) share(ctx context.Context, key, gen string, load func(context.Context) (*list, error)) (*list, error) {
	done := n.flights.DoChan(key+"\x00"+gen, func() (result any, failure error) {
		defer func() {
			if p := recover(); p != nil { // singleflight would end the process
				failure = fmt.Errorf("api: loading a list: panic: %v\n%s", p, debug.Stack())
			}
		}()
		l, err := load(context.WithoutCancel(ctx)) // the others must not lose the load with the one who began it
		if err != nil {
			return nil, err
		}
		n.put(key, l)
		return l, nil
	})
	select {
	case r := <-done:
		l, _ := r.Val.(*list)
		return l, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listKey names a list.
func listKey(path string, c maquinas.Consulta) string {
	if c == (maquinas.Consulta{}) {
		return path
	}
	return path + "?" + consultaValues(c).Encode()
}

// consultaValues returns the parameters of a list that were given, without the cursor.
func consultaValues(c maquinas.Consulta) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if c.Limite != 0 {
		v.Set("limite", strconv.Itoa(c.Limite))
	}
	set("orden", c.Orden)
	set("tipo", c.Tipo)
	set("estado", c.Estado)
	set("area", c.Area)
	set("desde", c.Desde)
	set("hasta", c.Hasta)
	set("buscar", c.Texto)
	return v
}

// nextURL returns the address of the next page, relative to the server; empty when there is none.
func nextURL(path string, v url.Values, cursor string) string {
	if cursor == "" {
		return ""
	}
	v.Set("cursor", cursor)
	return path + "?" + v.Encode()
}
