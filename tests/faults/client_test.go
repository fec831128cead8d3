package faults_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// slack is what a busy machine may add to a bound that the service keeps.
const slack = 500 * time.Millisecond

// sample is one request and how it ended.
type sample struct {
	endpoint string
	began    time.Time
	took     time.Duration
	// outcome is the status, with a word where the status does not tell all: "200 old" is marked as stale, "200 part" lacks the
	// records. "cut" is an answer that broke off, "none" no answer at all, "refused" no connection.
	outcome string
}

// answer is what a client got.
type answer struct {
	from    *service
	began   time.Time
	ended   time.Time
	status  int // 0 when no whole answer came
	header  http.Header
	body    []byte
	failure error
}

// world is what all clients share.
type world struct {
	services []*service
	http     *http.Client
	route    func() *service // chooses who is asked; nil is one or the other

	mu         sync.Mutex
	samples    []sample
	violations []string
	revoked    []revocation
	// staleUntil is until when another replica than the writer's may serve what is as old as the cache's TTL, because Redis
	// could not be told of a write.
	staleUntil time.Time
	// dark is since when no replica can learn of a revocation, MySQL and Redis both being out; zero when one of them works.
	dark time.Time
}

type revocation struct {
	token string
	at    time.Time // when the logout was answered
}

func newWorld(t *testing.T, services ...*service) *world {
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &world{services: services, http: &http.Client{
		Transport: transport, Timeout: requestTimeout + 5*time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// wrong notes that the service broke a promise.
func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// report fails the test for what was noted since the last report.
func (w *world) report(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, v := range w.violations {
		if i == 12 {
			t.Errorf("… and %d more", len(w.violations)-i)
			break
		}
		t.Error(v)
	}
	w.violations = nil
}

func (w *world) note(s sample) {
	w.mu.Lock()
	w.samples = append(w.samples, s)
	w.mu.Unlock()
}

// since returns the requests that began at or after a time.
func (w *world) since(from time.Time) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []sample
	for _, s := range w.samples {
		if !s.began.Before(from) {
			found = append(found, s)
		}
	}
	return found
}

// allowance is how old an answer from a cache may be that is given now.
func (w *world) allowance(began time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if began.Before(w.staleUntil) {
		return cacheTTL + slack
	}
	return 0
}

// any returns one of the services.
func (w *world) any() *service {
	if w.route != nil {
		return w.route()
	}
	return w.services[mathrand.IntN(len(w.services))]
}

// call sends one request and notes its sample, unless endpoint is empty.
func (w *world) call(s *service, endpoint, token, method, path string, body any, header ...string) *answer {
	a := &answer{from: s}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err) // a fault of the test
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, s.url+"/api"+path, r)
	if err != nil {
		panic(err)
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	outcome := "none"
	a.began = time.Now()
	res, err := w.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		outcome = "refused"
	}
	if err == nil {
		outcome = "cut"
		a.body, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	a.ended, a.failure = time.Now(), err
	if err == nil {
		a.status, a.header = res.StatusCode, res.Header
		outcome = strconv.Itoa(a.status)
		if warning := a.header.Get("Warning"); warning != "" {
			outcome += " part"
			if a.header.Get("Age") != "" {
				outcome = "200 old"
			}
		}
	}
	if endpoint == "" {
		return a
	}
	took := a.ended.Sub(a.began)
	if took > requestTimeout+slack {
		w.wrong("%s took %s, past the deadline of %s", endpoint, took, requestTimeout)
	}
	switch a.status {
	case 500, 502, 504:
		w.wrong("%s: %d %s", endpoint, a.status, a.body)
	case 503, 429:
		problem := a.header.Get("Content-Type") == "application/problem+json" || path == "/sistema/health" // which tells more
		if a.header.Get("Retry-After") == "" || !problem {
			w.wrong("%s: a refusal without Retry-After or problem document: %v %s", endpoint, a.header, a.body)
		}
	}
	w.note(sample{endpoint, a.began, took, outcome})
	return a
}

// login opens a session and returns its token.
func (w *world) login(t testing.TB, s *service) string {
	t.Helper()
	a := w.call(s, "", "", "POST", "/auth/login", s.admin.body())
	token := a.token()
	if a.status != 200 || token == "" {
		t.Fatalf("login: %d %s %v", a.status, a.body, a.failure)
	}
	return token
}

func (c credentials) body() map[string]string {
	return map[string]string{"username": c.username, "password": c.password}
}

func (a *answer) token() string {
	var v struct{ Token string }
	_ = json.Unmarshal(a.body, &v) // an answer without one is found out by its use
	return v.Token
}

// values are what clients write into a machine. Usuario differs in each write, so that what is read tells which write it saw.
type values struct {
	Tipo    string `json:"tipo"`
	Estado  string `json:"estado"`
	Area    string `json:"area"`
	Fecha   string `json:"fecha"`
	Usuario string `json:"usuario"`
}

// state is what a machine is after one write, as far as the writer can know.
type state struct {
	there bool
	values
	at   time.Time // when the write was answered
	by   *service  // who answered
	sure bool      // false when no answer, or a 503, left it open whether the write was done
}

// machine is a client's own: nobody else writes it, so the client knows what it may read.
type machine struct {
	codigo  string
	past    []state // the first says that it was not there
	records []*record
	key     string // of the registration, until that is sure
	dying   bool   // a deletion was sent and its outcome is open
}

// record is a mantenimiento that was sent. Text is unique, so that it tells whether it is there once, twice or not.
type record struct {
	text string
	key  string
	sure bool
}

func (m *machine) wrote(a *answer, sure, there bool, v values) {
	m.past = append(m.past, state{there, v, a.ended, a.from, sure})
}

func (m *machine) last() state { return m.past[len(m.past)-1] }

// possible returns what a reader who asked at a time may find. allowance is how long an answered write of another replica may have
// been unknown to the one that was asked.
func (m *machine) possible(asked time.Time, reader *service, allowance time.Duration) []state {
	for i := len(m.past) - 1; i >= 0; i-- {
		s := m.past[i]
		bound := asked.Add(-allowance)
		if s.by == reader {
			bound = asked
		}
		if s.sure && !s.at.After(bound) {
			return m.past[i:]
		}
	}
	return m.past
}

// fits says whether what was read, nil when nothing was found, is possible.
func fits(states []state, got *values) bool {
	for _, s := range states {
		if got == nil && !s.there || got != nil && s.there && s.values == *got {
			return true
		}
	}
	return false
}

// mayBeGone says whether the machine may not be there for one who reads the database.
func (m *machine) mayBeGone(asked time.Time) bool {
	return fits(m.possible(asked, nil, 0), nil)
}

// client works like one person with a browser: one request at a time, on whichever replica it gets to.
type client struct {
	*world
	prefix, area string
	token        string // of its session, which nothing may end
	spare        []string
	machines     []*machine // all that it ever made
	n            int        // counts what must be unique
	rnd          *mathrand.Rand
	deck         []string
	only         []string // the requests to be made, nil for all
}

// client makes the n-th client, with a session.
func (w *world) client(t testing.TB, n int) *client {
	t.Helper()
	c := &client{
		world: w, prefix: fmt.Sprintf("C%02d-", n), area: fmt.Sprintf("Laboratorio %d", n), token: w.login(t, w.any()),
		rnd: mathrand.New(mathrand.NewPCG(uint64(n), 7)),
	}
	for range 2 {
		c.spare = append(c.spare, w.login(t, w.any()))
	}
	return c
}

// everyRequest is what a client does, in shares of its requests.
var everyRequest = []string{
	"listar", "listar", "listar", "filtrada", "filtrada", "buscar", "buscar", "termino", "dashboard",
	"agregar", "agregar", "actualizar", "actualizar", "actualizar", "eliminar",
	"mantenimiento", "historial", "historial", "informe",
	"login", "logout", "revocada", "activos", "health",
}

// run makes a request at each interval until ctx ends.
func (c *client) run(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.step()
	}
}

func (c *client) step() {
	if len(c.deck) == 0 {
		c.deck = append(c.deck, everyRequest...)
		if c.only != nil {
			c.deck = append([]string(nil), c.only...)
		}
		c.rnd.Shuffle(len(c.deck), func(i, j int) { c.deck[i], c.deck[j] = c.deck[j], c.deck[i] })
	}
	what := c.deck[0]
	c.deck = c.deck[1:]
	switch what {
	case "listar":
		c.list("listar", "/maquinas/listar", c.machines)
	case "filtrada":
		c.list("filtrada", "/maquinas/listar?area="+strings.ReplaceAll(c.area, " ", "%20"), c.machines)
	case "termino":
		c.list("termino", "/maquinas/buscar?termino="+c.prefix, c.machines)
	case "buscar":
		c.find()
	case "dashboard":
		c.dashboard()
	case "agregar":
		c.add()
	case "actualizar":
		c.update()
	case "eliminar":
		c.remove()
	case "mantenimiento":
		c.addRecord()
	case "historial":
		c.history()
	case "informe":
		c.inform()
	case "login":
		a := c.call(c.any(), "login", "", "POST", "/auth/login", c.any().admin.body())
		if a.status == 200 {
			c.spare = append(c.spare, a.token())
		}
	case "logout":
		c.logout()
	case "revocada":
		c.revived()
	case "activos":
		c.call(c.any(), "activos", c.token, "GET", "/auth/usuarios/activos", nil)
	case "health":
		c.call(c.any(), "health", "", "GET", "/sistema/health", nil)
	}
}

// pick returns one of the machines that fulfil a condition, or nil.
func (c *client) pick(fit func(*machine) bool) *machine {
	var found []*machine
	for _, m := range c.machines {
		if fit(m) {
			found = append(found, m)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[c.rnd.IntN(len(found))]
}

func settled(m *machine) bool { return m.key == "" && !m.dying && m.last().there }

func (c *client) count() (n int) {
	for _, m := range c.machines {
		if settled(m) {
			n++
		}
	}
	return n
}

func (c *client) newValues() values {
	c.n++
	estados := []string{"operativa", "en mantenimiento", "fuera de servicio"}
	return values{[]string{"PC", "IMP"}[c.n%2], estados[c.n%3], c.area, "2026-03-02", fmt.Sprintf("Persona %s%d", c.prefix, c.n)}
}

func (v values) body(codigo string) map[string]string {
	return map[string]string{"codigo_equipo": codigo, "tipo_equipo": v.Tipo, "estado_actual": v.Estado, "area": v.Area, "fecha": v.Fecha, "usuario": v.Usuario}
}

// add registers a machine or, when it is not known whether the last one was registered, tries that one again with the same key.
func (c *client) add() {
	m := c.pick(func(m *machine) bool { return m.key != "" })
	if m == nil && c.count() >= 12 {
		c.remove()
		return
	}
	if m == nil {
		c.n++
		m = &machine{codigo: fmt.Sprintf("%s%d", c.prefix, c.n), key: rand.Text()}
		m.past = []state{{sure: true}, {there: true, values: c.newValues()}}
		c.machines = append(c.machines, m)
	}
	v := m.past[1].values
	a := c.call(c.any(), "agregar", c.token, "POST", "/maquinas/agregar", v.body(m.codigo), "Idempotency-Key", m.key)
	if a.status == 201 {
		m.key = ""
		m.wrote(a, true, true, v)
	} else {
		c.open("agregar "+m.codigo, a)
	}
}

// open checks that a write that was not done was refused as it should be.
func (c *client) open(what string, a *answer) {
	switch a.status {
	case 0, 503:
	default:
		c.wrong("%s: %d %s", what, a.status, a.body)
	}
}

func (c *client) update() {
	m := c.pick(settled)
	if m == nil {
		c.add()
		return
	}
	v := c.newValues()
	a := c.call(c.any(), "actualizar", c.token, "PUT", "/maquinas/actualizar", v.body(m.codigo))
	switch {
	case a.status == 200:
		m.wrote(a, true, true, v)
	default:
		c.open("actualizar "+m.codigo, a)
		m.wrote(a, false, true, v)
	}
}

// remove deletes a machine or, when it is not known whether the last one was deleted, tries again.
func (c *client) remove() {
	m := c.pick(func(m *machine) bool { return m.dying })
	if m == nil && c.count() > 3 {
		m = c.pick(settled)
	}
	if m == nil {
		c.add()
		return
	}
	a := c.call(c.any(), "eliminar", c.token, "DELETE", "/maquinas/eliminar?codigo="+m.codigo, nil)
	switch {
	case a.status == 200, a.status == 404 && m.dying:
		m.dying = false
		m.wrote(a, true, false, values{})
	default:
		c.open("eliminar "+m.codigo, a)
		m.dying = true
		m.wrote(a, false, false, values{})
	}
}

// addRecord sends a record or, when it is not known whether the last one was kept, sends that one again with the same key.
func (c *client) addRecord() {
	var m *machine
	var r *record
	for _, other := range c.machines {
		for _, open := range other.records {
			if !open.sure && settled(other) {
				m, r = other, open
			}
		}
	}
	if r == nil {
		if m = c.pick(settled); m == nil {
			c.add()
			return
		}
		c.n++
		r = &record{text: fmt.Sprintf("Trabajo %s%d", c.prefix, c.n), key: rand.Text()}
		m.records = append(m.records, r)
	}
	body := map[string]string{
		"codigo_maquina": m.codigo, "empresa": "Soporte Técnico Universitario", "tecnico": "Saúl Yáñez", "tipo": "preventivo",
		"fecha": "2026-04-01", "observaciones": r.text,
	}
	a := c.call(c.any(), "mantenimiento", c.token, "POST", "/mantenimientos/agregar", body, "Idempotency-Key", r.key)
	if a.status == 201 {
		r.sure = true
	} else {
		c.open("mantenimiento de "+m.codigo, a)
	}
}

// read is a machine as it is answered.
type read struct {
	Codigo string `json:"codigo"`
	values
}

// decode reads an answer of status 200, and says whether it was one.
func (c *client) decode(what string, a *answer, v any) bool {
	if a.status != 200 {
		return false
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		c.wrong("%s: %v in %.200s", what, err, a.body)
		return false
	}
	return true
}

// list reads a list and looks for each of the client's machines in it.
func (c *client) list(endpoint, path string, mine []*machine) {
	a := c.call(c.any(), endpoint, c.token, "GET", path, nil)
	var all []read
	if !c.decode(endpoint, a, &all) {
		return
	}
	got := map[string]*values{}
	for i, r := range all {
		if !strings.HasPrefix(r.Codigo, c.prefix) {
			if endpoint != "listar" {
				c.wrong("%s: %s is none of the client's own", endpoint, r.Codigo)
			}
			continue
		}
		if got[r.Codigo] != nil {
			c.wrong("%s: %s is there twice", endpoint, r.Codigo)
		}
		got[r.Codigo] = &all[i].values
	}
	reader, allowance := a.from, c.allowance(a.began)
	if age := a.header.Get("Age"); age != "" {
		n, err := strconv.Atoi(age)
		if err != nil || n < 0 || n > 600 {
			c.wrong("%s: Age %q", endpoint, age)
		}
		reader, allowance = nil, allowance+time.Duration(n+1)*time.Second
	}
	if endpoint == "termino" { // searches pass the cache
		allowance = 0
	}
	for _, m := range mine {
		c.compare(endpoint, a, m, got[m.codigo], m.possible(a.began, reader, allowance))
		delete(got, m.codigo)
	}
	for codigo := range got {
		c.wrong("%s: %s was never added", endpoint, codigo)
	}
}

func (c *client) compare(what string, a *answer, m *machine, got *values, states []state) {
	if !fits(states, got) {
		c.wrong("%s of %s (asked at %s): %s is %+v, which is none of %+v", what, a.from.name, a.began.Format("15:04:05.000"), m.codigo, got, states)
	}
}

func (c *client) find() {
	m := c.pick(settled)
	if m == nil || c.rnd.IntN(4) == 0 { // one that is gone, or may not have come, is worth a look too
		m = c.pick(func(*machine) bool { return true })
	}
	if m == nil {
		c.add()
		return
	}
	a := c.call(c.any(), "buscar", c.token, "GET", "/maquinas/buscar?codigo="+m.codigo, nil)
	var r read
	if a.status == 404 {
		c.compare("buscar", a, m, nil, m.possible(a.began, a.from, c.allowance(a.began)))
	} else if c.decode("buscar", a, &r) {
		c.compare("buscar", a, m, &r.values, m.possible(a.began, a.from, c.allowance(a.began)))
	}
}

func (c *client) dashboard() {
	a := c.call(c.any(), "", c.token, "GET", "/maquinas/dashboard", nil)
	outcome := strconv.Itoa(a.status)
	var d struct {
		Total          *int           `json:"total_maquinas"`
		PorArea        map[string]int `json:"maquinas_por_area"`
		Mantenimientos *struct{ Total int }
	}
	if c.decode("dashboard", a, &d) {
		least, most := 0, 0
		for _, m := range c.machines {
			states := m.possible(a.began, a.from, c.allowance(a.began))
			sure, possible := true, false
			for _, s := range states {
				sure, possible = sure && s.there, possible || s.there
			}
			if sure {
				least++
			}
			if possible {
				most++
			}
		}
		if n := d.PorArea[c.area]; d.Total == nil || n < least || n > most {
			c.wrong("dashboard of %s: %d machines in %s, want %d to %d", a.from.name, n, c.area, least, most)
		}
		if d.Mantenimientos == nil {
			outcome = "200 part"
		}
	}
	if a.status == 0 {
		outcome = "none"
	}
	if a.status == 500 {
		c.wrong("dashboard: %s", a.body)
	}
	c.note(sample{"dashboard", a.began, a.ended.Sub(a.began), outcome})
}

// recordsFit compares the texts of a machine's records with what was sent.
func (c *client) recordsFit(what string, a *answer, m *machine, texts []string) {
	times := map[string]int{}
	for _, text := range texts {
		times[text]++
	}
	for _, r := range m.records {
		if n := times[r.text]; n > 1 || n == 0 && r.sure {
			c.wrong("%s of %s: %q of %s is there %d times, sure: %v", what, a.from.name, r.text, m.codigo, n, r.sure)
		}
		delete(times, r.text)
	}
	for text := range times {
		c.wrong("%s: %q of %s was never added", what, text, m.codigo)
	}
}

func (c *client) history() {
	m := c.pick(settled)
	if m == nil {
		c.add()
		return
	}
	a := c.call(c.any(), "historial", c.token, "GET", "/mantenimientos/historial/"+m.codigo, nil)
	var list []struct{ Observaciones string }
	if a.status == 404 && !m.mayBeGone(a.began) {
		c.wrong("historial of %s: %s is not there", a.from.name, m.codigo)
	}
	if c.decode("historial", a, &list) {
		texts := make([]string, len(list))
		for i, r := range list {
			texts[i] = r.Observaciones
		}
		c.recordsFit("historial", a, m, texts)
	}
}

func (c *client) inform() {
	a := c.call(c.any(), "informe", c.token, "GET", "/mantenimientos/informe?codigo="+c.prefix, nil)
	var list []struct {
		Codigo         string
		Mantenimientos *[]struct{ Observaciones string }
		Total          *int `json:"total_mantenimientos"`
	}
	if !c.decode("informe", a, &list) {
		return
	}
	part := a.header.Get("Warning") != ""
	found := map[string]bool{}
	for _, row := range list {
		found[row.Codigo] = true
		if row.Mantenimientos == nil != part {
			c.wrong("informe of %s: records known: %v, Warning: %q", a.from.name, row.Mantenimientos != nil, a.header.Get("Warning"))
			return
		}
		for _, m := range c.machines {
			if m.codigo == row.Codigo && !part {
				texts := make([]string, len(*row.Mantenimientos))
				for i, r := range *row.Mantenimientos {
					texts[i] = r.Observaciones
				}
				c.recordsFit("informe", a, m, texts)
			}
		}
	}
	for _, m := range c.machines {
		if settled(m) && !found[m.codigo] && !m.mayBeGone(a.began) {
			c.wrong("informe of %s: %s is missing", a.from.name, m.codigo)
		}
	}
}

// logout ends a session on one replica and then asks the others until they refuse it, which must be within a second.
func (c *client) logout() {
	if len(c.spare) == 0 {
		c.deck = append(c.deck, "logout") // later, when there is something to close
		a := c.call(c.any(), "login", "", "POST", "/auth/login", c.any().admin.body())
		if a.status == 200 {
			c.spare = append(c.spare, a.token())
		}
		return
	}
	token := c.spare[0]
	a := c.call(c.any(), "logout", token, "POST", "/auth/logout", nil)
	if a.status != 200 {
		if a.status == 401 { // an earlier logout, whose answer was lost, was done
			c.spare = c.spare[1:]
			return
		}
		c.spare = append(c.spare[1:], token)
		return
	}
	c.spare = c.spare[1:]
	for _, s := range c.services {
		for {
			p := c.call(s, "", token, "GET", "/auth/usuarios/activos", nil)
			if p.status == 401 {
				c.note(sample{"revocación", a.ended, max(0, p.began.Sub(a.ended)), "401"})
				break
			}
			if late := p.began.Sub(a.ended); late > time.Second && !c.isDark(a.ended) {
				c.wrong("%s takes a token %s after its logout: %d", s.name, late, p.status)
				c.note(sample{"revocación", a.ended, late, strconv.Itoa(p.status)})
				break
			} else if late > time.Second {
				break
			}
			time.Sleep(20 * time.Millisecond) // between two looks at the condition
		}
	}
	c.mu.Lock()
	c.revoked = append(c.revoked, revocation{token, a.ended})
	c.mu.Unlock()
}

// isDark says whether a revocation of a time may be unknown elsewhere for lack of any way to tell.
func (c *client) isDark(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.dark.IsZero() && at.After(c.dark.Add(-time.Second))
}

// revived tries a token that was revoked more than a second ago.
func (c *client) revived() {
	c.mu.Lock()
	var old []revocation
	for _, r := range c.revoked {
		if time.Since(r.at) > time.Second+slack && (c.dark.IsZero() || r.at.Before(c.dark.Add(-time.Second))) {
			old = append(old, r)
		}
	}
	c.mu.Unlock()
	if len(old) == 0 {
		c.call(c.any(), "health", "", "GET", "/sistema/health", nil)
		return
	}
	r := old[c.rnd.IntN(len(old))]
	if a := c.call(c.any(), "revocada", r.token, "GET", "/maquinas/listar", nil); a.status != 401 {
		c.wrong("%s takes a token that was revoked %s ago: %d", a.from.name, time.Since(r.at).Round(time.Millisecond), a.status)
	}
}

// resolve repeats every write whose outcome is open until it is sure, as a client with patience would.
func (c *client) resolve(t testing.TB) {
	t.Helper()
	eventually(t, "the outcome of every write of "+c.prefix, func() bool {
		open := false
		if c.pick(func(m *machine) bool { return m.key != "" }) != nil {
			open = true
			c.add()
		}
		if c.pick(func(m *machine) bool { return m.dying }) != nil {
			open = true
			c.remove()
		}
		for _, m := range c.machines {
			if settled(m) && !m.last().sure {
				open = true
				v := m.last().values
				if a := c.call(c.any(), "actualizar", c.token, "PUT", "/maquinas/actualizar", v.body(m.codigo)); a.status == 200 {
					m.wrote(a, true, true, v)
				}
			}
			for _, r := range m.records {
				if settled(m) && !r.sure {
					open = true
					c.addRecord()
				}
			}
		}
		return !open
	})
}

// verify compares both databases with what the clients were told, once the outbox is empty. Every write must be resolved.
func verify(t *testing.T, d *databases, clients []*client) {
	t.Helper()
	ctx := t.Context()
	eventually(t, "the outbox to be empty", func() bool {
		var n int
		if err := d.sql.QueryRowContext(ctx, "SELECT COUNT(*) FROM borrados").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	stored := map[string]values{}
	codes := map[int64]string{}
	rows, err := d.sql.QueryContext(ctx, "SELECT id, codigo, tipo, estado, area, fecha, COALESCE(usuario, '') FROM maquinas")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var codigo string
		var v values
		if err := rows.Scan(&id, &codigo, &v.Tipo, &v.Estado, &v.Area, &v.Fecha, &v.Usuario); err != nil {
			t.Fatal(err)
		}
		stored[codigo], codes[id] = v, codigo
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	texts := map[string][]string{} // by code
	orphans, documents := 0, 0
	cursor, err := d.docs.Collection("mantenimientos").Find(ctx, bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	for cursor.Next(ctx) {
		var r struct {
			Maquina int64  `bson:"maquina_id"`
			Codigo  string `bson:"codigo_maquina"`
			Text    string `bson:"observaciones"`
		}
		if err := cursor.Decode(&r); err != nil {
			t.Fatal(err)
		}
		documents++
		codigo, ok := codes[r.Maquina]
		if !ok || codigo != r.Codigo {
			orphans++
			t.Errorf("orphan: %q of machine %d, %s", r.Text, r.Maquina, r.Codigo)
		}
		texts[codigo] = append(texts[codigo], r.Text)
	}
	if err := cursor.Err(); err != nil {
		t.Fatal(err)
	}
	machines, records := 0, 0
	for _, c := range clients {
		for _, m := range c.machines {
			last := m.last()
			v, there := stored[m.codigo]
			delete(stored, m.codigo)
			if there != last.there || there && v != last.values {
				t.Errorf("%s: the database has %+v (there: %v), the client was told %+v", m.codigo, v, there, last)
			}
			if !last.there {
				continue
			}
			machines++
			times := map[string]int{}
			for _, text := range texts[m.codigo] {
				times[text]++
			}
			for _, r := range m.records {
				if times[r.text] != 1 {
					t.Errorf("%q of %s is there %d times", r.text, m.codigo, times[r.text])
				}
				records++
				delete(times, r.text)
			}
			for text := range times {
				t.Errorf("%q of %s was never sent", text, m.codigo)
			}
		}
	}
	for codigo := range stored {
		t.Errorf("%s is in the database and was never added", codigo)
	}
	t.Logf("in the end: %d machines and %d records as the clients were told; %d documents in all, %d orphans", machines, records, documents, orphans)
}
