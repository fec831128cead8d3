package faults_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// outboxTimeout makes the grace period, which is twice a request's deadline, short.
const outboxTimeout = 2 * time.Second

// MongoDB is stopped at each step that the deletion of a machine takes, while others add records to the machine, and the code is
// registered again at once. In the end no record is left of the deleted machines, and none of the others is lost.
func TestDeletionOutlivesMongoDB(t *testing.T) {
	f := servers(t)
	d := f.databases(t)
	between := newStepper(t, f.mongoAddr)
	s := newService(t, d, nil, "MONGO_HOST=127.0.0.1", "MONGO_PORT="+port(between.addr()), "TIMEOUT="+seconds(outboxTimeout))
	s.start()
	s.ready()
	w := newWorld(t, s)
	o := &outboxTest{t: t, w: w, s: s, d: d, between: between, token: w.login(t, s)}
	before := s.footprint()

	o.addMachine("TESTIGO", "de siempre")
	kept := o.addRecord("TESTIGO")
	for i, step := range []struct {
		what     string
		command  string
		answered bool
		second   bool // of the sweep after the grace period
	}{
		{what: "before the deletion"},
		{what: "before it marks the keys", command: "update"},
		{what: "when it has marked the keys", command: "update", answered: true},
		{what: "before it removes the records", command: "delete"},
		{what: "when it has removed the records", command: "delete", answered: true},
		{what: "before the second sweep marks the keys", command: "update", second: true},
		{what: "before the second sweep removes the records", command: "delete", second: true},
		{what: "when the second sweep has removed the records", command: "delete", answered: true, second: true},
	} {
		t.Run(step.what, func(t *testing.T) {
			o.t = t
			codigo := fmt.Sprintf("PC-%02d", i)
			id := o.addMachine(codigo, "primera")
			for range 3 {
				o.addRecord(codigo)
			}
			var stopped atomic.Bool
			stop := func() bool {
				f.mongo.kill(t)
				stopped.Store(true)
				return false
			}
			if step.command == "" {
				stop()
			} else if !step.second {
				between.set(&trap{step.command, maquinaID(id), step.answered, stop})
			}
			added := o.addUntilGone(codigo)
			o.delete(codigo)
			added()
			if step.second {
				// The first sweep is done; a record that comes between the two is the second's to remove.
				between.set(&trap{step.command, maquinaID(id), step.answered, stop})
				o.lateRecord(id, codigo)
			}
			eventually(t, "MongoDB to be stopped", stopped.Load)
			o.addMachine(codigo, "segunda") // MySQL works, and the code is free
			if !step.second {
				within(t, 5*time.Second, "the metrics to tell of the backlog", func() bool {
					m := s.metrics()
					return m["siglab_outbox_pending"] >= 1 && m["siglab_outbox_oldest_age_seconds"] > 0
				})
			}
			f.mongo.start(t)
			kept = append(kept, o.addRecord(codigo)...)
		})
	}
	o.t = t
	o.lateInsert()
	w.report(t)
	began := time.Now()
	eventually(t, "the outbox to be empty", func() bool { return o.count("borrados") == 0 })
	t.Logf("the last deletion was finished %s after the last fault", time.Since(began).Round(10*time.Millisecond))
	o.verify(kept)
	eventually(t, "the metrics to tell of no backlog", func() bool { return s.metrics()["siglab_outbox_pending"] == 0 })
	w.http.CloseIdleConnections()
	s.settles(before)
	s.terminate()
}

type outboxTest struct {
	t       *testing.T
	w       *world
	s       *service
	d       *databases
	between *stepper
	token   string
	n       atomic.Int64
}

// maquinaID is the element of a document that names a machine, as it stands on the wire.
func maquinaID(id int64) []byte {
	return binary.LittleEndian.AppendUint64([]byte("\x12maquina_id\x00"), uint64(id))
}

func (o *outboxTest) addMachine(codigo, usuario string) (id int64) {
	o.t.Helper()
	v := values{"PC", "operativa", "Sala", "2026-03-02", usuario}
	if a := o.w.call(o.s, "agregar", o.token, "POST", "/maquinas/agregar", v.body(codigo)); a.status != 201 {
		o.t.Fatalf("agregar %s: %d %s %v", codigo, a.status, a.body, a.failure)
	}
	if err := o.d.sql.QueryRowContext(o.t.Context(), "SELECT id FROM maquinas WHERE codigo = ?", codigo).Scan(&id); err != nil {
		o.t.Fatal(err)
	}
	return id
}

func (o *outboxTest) post(codigo, text string) *answer {
	return o.w.call(o.s, "mantenimiento", o.token, "POST", "/mantenimientos/agregar", map[string]string{
		"codigo_maquina": codigo, "empresa": "Soporte", "tecnico": "Saúl", "tipo": "correctivo", "fecha": "2026-04-01", "observaciones": text,
	})
}

// addRecord adds a record, once MongoDB works, and returns its text.
func (o *outboxTest) addRecord(codigo string) []string {
	o.t.Helper()
	text := fmt.Sprintf("Trabajo %d en %s", o.n.Add(1), codigo)
	var a *answer
	eventually(o.t, "a record for "+codigo, func() bool {
		a = o.post(codigo, text)
		return a.status != 503 // a 503 left it open, and without a key another try would add another record
	})
	if a.status != 201 {
		o.t.Fatalf("mantenimiento de %s: %d %s %v", codigo, a.status, a.body, a.failure)
	}
	return []string{text}
}

// addUntilGone adds records to a machine from several clients, until they are told that there is no such machine or that the
// records' store is out. It returns when the first have come in; the function that it returns waits for the end.
func (o *outboxTest) addUntilGone(codigo string) (wait func()) {
	var adding sync.WaitGroup
	var added atomic.Int64
	for range 3 {
		adding.Go(func() {
			for {
				a := o.post(codigo, fmt.Sprintf("Trabajo perdido %d en %s", o.n.Add(1), codigo))
				added.Add(1)
				if a.status != 201 {
					if a.status != 404 && a.status != 503 {
						o.w.wrong("mantenimiento de %s: %d %s %v", codigo, a.status, a.body, a.failure)
					}
					return
				}
			}
		})
	}
	eventually(o.t, "the first records", func() bool { return added.Load() >= 3 })
	return adding.Wait
}

// delete removes a machine, which must work whatever MongoDB does.
func (o *outboxTest) delete(codigo string) {
	o.t.Helper()
	if a := o.w.call(o.s, "eliminar", o.token, "DELETE", "/maquinas/eliminar?codigo="+codigo, nil); a.status != 200 {
		o.t.Fatalf("eliminar %s: %d %s %v", codigo, a.status, a.body, a.failure)
	}
	if a := o.w.call(o.s, "historial", o.token, "GET", "/mantenimientos/historial/"+codigo, nil); a.status != 404 {
		o.t.Errorf("historial of %s, which is deleted: %d %s", codigo, a.status, a.body)
	}
}

// lateRecord puts a record of a deleted machine where a slow request would put it.
func (o *outboxTest) lateRecord(id int64, codigo string) {
	o.t.Helper()
	late := bson.D{
		{Key: "_id", Value: bson.NewObjectID()}, {Key: "maquina_id", Value: id}, {Key: "codigo_maquina", Value: codigo},
		{Key: "empresa", Value: "Soporte"}, {Key: "tecnico", Value: "Saúl"}, {Key: "tipo", Value: "preventivo"}, {Key: "fecha", Value: "2026-04-02"},
		{Key: "observaciones", Value: "Trabajo tardío en " + codigo},
	}
	eventually(o.t, "the late record", func() bool { // the first try may meet a connection that an earlier stop has broken
		_, err := o.d.docs.Collection("mantenimientos").InsertOne(o.t.Context(), late)
		return err == nil || mongo.IsDuplicateKeyError(err)
	})
}

// lateInsert lets a request find a machine, and holds its insert until the machine and its records have been deleted.
func (o *outboxTest) lateInsert() {
	o.t.Helper()
	const codigo = "PC-TARDE"
	id := o.addMachine(codigo, "primera")
	o.addRecord(codigo)
	arrived, release := make(chan struct{}), make(chan struct{})
	o.between.set(&trap{"insert", []byte("Trabajo retenido"), false, func() bool {
		close(arrived)
		<-release
		return true
	}})
	done := make(chan *answer, 1)
	go func() { done <- o.post(codigo, "Trabajo retenido") }()
	<-arrived
	o.delete(codigo)
	close(release)
	if a := <-done; a.status != 201 && a.status != 503 {
		o.t.Errorf("a record that came late: %d %s %v", a.status, a.body, a.failure)
	}
	count := func() int64 {
		n, err := o.d.docs.Collection("mantenimientos").CountDocuments(o.t.Context(), bson.D{{Key: "maquina_id", Value: id}})
		if err != nil {
			o.t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 1 {
		o.t.Errorf("got %d records of the deleted machine before the second sweep, want the one that came late", n)
	}
	eventually(o.t, "the second sweep", func() bool { return count() == 0 })
}

func (o *outboxTest) count(table string) (n int) {
	o.t.Helper()
	if err := o.d.sql.QueryRowContext(o.t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

// verify compares the records that are there with those that must be.
func (o *outboxTest) verify(kept []string) {
	o.t.Helper()
	cursor, err := o.d.docs.Collection("mantenimientos").Find(o.t.Context(), bson.D{})
	if err != nil {
		o.t.Fatal(err)
	}
	var all []struct {
		Text string `bson:"observaciones"`
	}
	if err := cursor.All(o.t.Context(), &all); err != nil {
		o.t.Fatal(err)
	}
	times := map[string]int{}
	for _, r := range all {
		times[r.Text]++
	}
	for _, text := range kept {
		if times[text] != 1 {
			o.t.Errorf("%q is there %d times, want once", text, times[text])
		}
		delete(times, text)
	}
	for text := range times {
		o.t.Errorf("orphan: %q", text)
	}
	o.t.Logf("%d records kept, %d orphans", len(kept), len(times))
}
