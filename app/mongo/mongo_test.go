package mongo_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"siglab/app/errs"
	"siglab/app/guard"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
	"siglab/app/mongo"
	"siglab/app/storetest"
)

func TestOpenRefusesWhatCannotBeRight(t *testing.T) {
	for name, c := range map[string]mongo.Config{
		"nothing":          {},
		"no host":          {Database: "x", Port: 27017},
		"no port":          {Database: "x", Host: "localhost"},
		"no database":      {Host: "localhost", Port: 27017},
		"not a URI":        {Database: "x", URI: "localhost:27017"},
		"a password in it": {Database: "x", URI: "mongodb://ana:secreto%zz@localhost/"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := mongo.Open(c, mongo.Hooks{})
			if err == nil {
				_ = db.Close(t.Context())
				t.Fatal("got no error")
			}
			if strings.Contains(err.Error(), "secreto") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestErrorsAreTold(t *testing.T) {
	command := func(code int32) error { return fmt.Errorf("call: %w", driver.CommandError{Code: code, Message: "m"}) }
	for name, test := range map[string]struct {
		err             error
		outage, refused bool
	}{
		"nothing":                {nil, false, false},
		"no document":            {driver.ErrNoDocuments, false, false},
		"duplicate key":          {driver.WriteException{WriteErrors: driver.WriteErrors{{Code: 11000}}}, false, false},
		"the caller went away":   {context.Canceled, false, false},
		"our own answer":         {idempotency.ErrReused(), false, false},
		"a wrong command":        {command(9), false, false},
		"not implemented":        {command(238), false, false},
		"no time left":           {context.DeadlineExceeded, true, false},
		"stepping down":          {command(189), true, false},
		"not the primary":        {command(10107), true, false},
		"disk full":              {driver.WriteException{WriteErrors: driver.WriteErrors{{Code: 14031}}}, true, false},
		"a fault of the server":  {command(1), true, false},
		"wrong password":         {command(18), true, true},
		"not allowed":            {command(13), true, true},
		"connection reset":       {&net.OpError{Op: "read", Err: errors.New("reset")}, true, false},
		"closed while in use":    {driver.ErrClientDisconnected, true, false},
		"write not acknowledged": {driver.WriteException{WriteConcernError: &driver.WriteConcernError{Code: 64}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mongo.Outage(test.err); got != test.outage {
				t.Errorf("Outage: got %v, want %v", got, test.outage)
			}
			if got := mongo.Refused(test.err); got != test.refused {
				t.Errorf("Refused: got %v, want %v", got, test.refused)
			}
		})
	}
}

// observed collects what Hooks.Observe is told.
type observed struct {
	mu     sync.Mutex
	ok     map[string]int
	failed map[string]int
}

func (o *observed) observe(operation string, err error, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ok == nil {
		o.ok, o.failed = map[string]int{}, map[string]int{}
	}
	if err != nil {
		o.failed[operation]++
	} else {
		o.ok[operation]++
	}
}

func (o *observed) count(operation string) (ok, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ok[operation], o.failed[operation]
}

const secret = "no debe verse"

func record() mantenimientos.Mantenimiento {
	return mantenimientos.Mantenimiento{MaquinaID: 1, CodigoMaquina: "PC-1", Empresa: secret, Tecnico: secret, Tipo: "preventivo",
		Fecha: "2024-01-02", Observaciones: secret, Usuario: secret}
}

func TestHooksSeeCommandsAndNoValues(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	var seen observed
	db, _ := open(t, mongo.Hooks{Tracer: provider.Tracer("test"), Observe: seen.observe})
	s := mongo.NewMantenimientos(db, nil, time.Now)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, parent := provider.Tracer("test").Start(t.Context(), "request")
	key := idempotency.New("ana", "r", "v", []byte("b"))
	for range 2 {
		if _, err := s.Insert(ctx, record(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Page(ctx, mantenimientos.Query{Limite: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resumen(ctx, "2020-01-01"); err != nil {
		t.Fatal(err)
	}
	parent.End()
	if ok, failed := seen.count("insert"); ok != 4 || failed != 0 {
		t.Errorf("insert was observed %d times as good and %d as failed, want 4 and 0", ok, failed)
	}
	if ok, _ := seen.count("aggregate"); ok != 3 {
		t.Errorf("aggregate was observed %d times, want 3", ok)
	}
	names := map[string]int{}
	for _, span := range spans.Ended() {
		names[span.Name()]++
		if text := fmt.Sprint(span.Name(), span.Attributes(), span.Events(), span.Status()); strings.Contains(text, secret) || strings.Contains(text, key.ID) {
			t.Errorf("a span holds a value: %s", text)
		}
		if span.Name() == "insert mantenimientos" {
			if span.Parent().SpanID() != parent.SpanContext().SpanID() {
				t.Error("a span is not a child of its request's")
			}
			got := map[string]string{}
			for _, a := range span.Attributes() {
				got[string(a.Key)] = a.Value.AsString()
			}
			if got["db.system.name"] != "mongodb" || got["db.operation.name"] != "insert" || got["db.collection.name"] != "mantenimientos" {
				t.Errorf("got attributes %v", got)
			}
		}
	}
	if names["insert mantenimientos"] != 2 || names["insert idempotencia"] != 2 || names["aggregate mantenimientos"] != 3 {
		t.Errorf("got spans %v", names)
	}
	idle, used, most, _ := db.Pool()
	if idle < 1 || used != 0 || most != 10 {
		t.Errorf("got a pool of %d idle, %d used, at most %d; want some idle, none used, 10", idle, used, most)
	}
}

func TestMigrateMakesTheIndexes(t *testing.T) {
	db, raw := open(t, mongo.Hooks{})
	for range 2 {
		if _, err := db.Migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	list, err := raw.Collection("mantenimientos").Indexes().ListSpecifications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, index := range list {
		got[index.KeysDocument.String()] = true
	}
	if len(list) != 4 {
		t.Errorf("got indexes %v, want three beside that of _id", got)
	}
}

// behind opens the store through a proxy, with the guard that the program has.
func behind(t *testing.T, timeout time.Duration) (*storetest.Proxy, *mongo.DB, *mongo.Mantenimientos, *observed) {
	t.Helper()
	_, raw := open(t, mongo.Hooks{})
	hosts := options.Client().ApplyURI(serverURI(t)).Hosts
	proxy := storetest.NewProxy(t, hosts[0])
	host, port, err := net.SplitHostPort(proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	cfg := mongo.Config{Host: host, Database: raw.Name(), Timeout: timeout}
	if _, err := fmt.Sscan(port, &cfg.Port); err != nil {
		t.Fatal(err)
	}
	seen := new(observed)
	db, err := mongo.Open(cfg, mongo.Hooks{Observe: seen.observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return proxy, db, mongo.NewMantenimientos(db, guard.New(timeout, mongo.Outage, nil), time.Now), seen
}

// eventually waits until a call succeeds.
func eventually(t *testing.T, what string, call func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if err = call(); err == nil {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func TestOutagesAreShortAndEnd(t *testing.T) {
	for name, fault := range map[string]struct{ begin, end func(*storetest.Proxy) }{
		"frozen": {(*storetest.Proxy).Freeze, (*storetest.Proxy).Thaw},
		"broken": {(*storetest.Proxy).Break, (*storetest.Proxy).Mend},
	} {
		t.Run(name, func(t *testing.T) {
			const timeout = 500 * time.Millisecond
			proxy, db, s, seen := behind(t, timeout)
			insert := func() error {
				_, err := s.Insert(t.Context(), record(), nil)
				return err
			}
			eventually(t, "before", insert)
			fault.begin(proxy)
			for range 12 { // enough to open the circuit, and to meet a driver that knows already
				start := time.Now()
				err := insert()
				if errs.KindOf(err) != errs.Unavailable {
					t.Errorf("Insert: got %v, want Unavailable", err)
				}
				// Twice as long would be fine for the caller; the rest is for a slow machine.
				if took := time.Since(start); took > 4*timeout {
					t.Errorf("Insert took %v with a timeout of %v", took, timeout)
				}
			}
			if err := db.Ping(t.Context()); err == nil || !mongo.Outage(err) {
				t.Errorf("Ping: got %v, want an outage", err)
			}
			if _, failed := seen.count("insert"); failed == 0 {
				t.Error("no failure was observed")
			}
			fault.end(proxy)
			eventually(t, "after", insert)
			eventually(t, "Ping", func() error { return db.Ping(t.Context()) })
		})
	}
}

// The answer to a keyed insert is lost at any point; retries add one record.
func TestKeyedInsertSurvivesLostAnswers(t *testing.T) {
	proxy, _, s, _ := behind(t, 500*time.Millisecond)
	key := idempotency.New("ana", "r", "v", []byte("b"))
	var got mantenimientos.Mantenimiento
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			if i%2 == 0 {
				cancel()
			} else {
				proxy.Break()
			}
		}()
		_, _ = s.Insert(ctx, record(), key)
		<-stop
		proxy.Mend()
		cancel()
	}
	eventually(t, "retry", func() (err error) {
		got, err = s.Insert(t.Context(), record(), key)
		return err
	})
	list, err := s.Page(t.Context(), mantenimientos.Query{Limite: 100})
	if err != nil || len(list) != 1 || list[0] != got {
		t.Errorf("got %+v, %v; want %+v alone", list, err, got)
	}
}

// Interrupted between the key and the record, an insert is finished by the retry, unless the machine is gone.
func TestKeyedInsertIsFinished(t *testing.T) {
	for name, test := range map[string]struct {
		removed bool
		machine int64 // what the code names when the retry comes
		want    int64
	}{
		"interrupted":              {false, 1, 1},
		"its records were removed": {true, 1, 0},
		"the code is another's":    {false, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			db, raw := open(t, mongo.Hooks{})
			s := mongo.NewMantenimientos(db, nil, time.Now)
			key := idempotency.New("ana", "r", "v", []byte("b"))
			id := bson.NewObjectID()
			if _, err := raw.Collection("idempotencia").InsertOne(t.Context(), bson.D{{Key: "_id", Value: key.ID}, {Key: "huella", Value: key.Fingerprint},
				{Key: "mantenimiento_id", Value: id}, {Key: "maquina_id", Value: int64(1)}, {Key: "creada", Value: time.Now()}}); err != nil {
				t.Fatal(err)
			}
			if test.removed {
				if _, err := s.DeleteOfMaquina(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				m := record()
				m.MaquinaID = test.machine
				got, err := s.Insert(t.Context(), m, key)
				if err != nil || got.ID != id.Hex() || got.MaquinaID != 1 {
					t.Errorf("got %+v, %v; want the record of then, %s of machine 1", got, err, id.Hex())
				}
				if n, err := s.Count(t.Context(), mantenimientos.Filtro{}); n != test.want || err != nil {
					t.Errorf("the store holds %d records, %v; want %d", n, err, test.want)
				}
			}
		})
	}
}
