package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	folding "siglab/app/clave"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/texto"
)

// Resolve finds machines by their codes, in whatever case these come. The result is keyed by clave.Of of the code; a machine that does
// not exist is absent.
type Resolve func(ctx context.Context, codigos []string) (map[string]maquinas.Maquina, error)

// Migration says what Migrate did.
type Migration struct {
	Adopted int64    // old records that belong to a machine now
	Orphans int64    // old records whose machine does not exist
	Left    []string // what could not be understood and was left as it was: English sentences for the log
}

const (
	batchSize    = 500
	bulkSize     = 25               // FerretDB holds a connection to SQLite for each update until all of one command are done, and hangs when it has no more
	batchTimeout = time.Minute      // for one command, on a server that is at its limit
	indexTimeout = 15 * time.Minute // of a collection that is large already
)

// Migrate makes the indexes and takes over the records of the old backend where they lie: each gets its machine's id and the code
// as that machine has it, its day as YYYY-MM-DD and its kind in small letters. A record whose machine does not exist gets id 0,
// which no machine has, so that a machine registered later under the same code never meets it. What cannot be understood stays
// as it is. It may be broken off and run again, by several at once; with nothing to do it asks for one document.
func (db *DB) Migrate(ctx context.Context, resolve Resolve) (Migration, error) {
	var done Migration
	if err := db.index(ctx); err != nil {
		return done, fmt.Errorf("mongo: indexes: %w", err)
	}
	left := &remarks{}
	machines := map[string]*maquinas.Maquina{} // by the key of the code; nil is known not to exist
	for {
		n, err := db.adopt(ctx, resolve, machines, left, &done)
		done.Left = left.sentences()
		if err != nil {
			return done, fmt.Errorf("mongo: old records: %w", err)
		}
		if n == 0 {
			return done, nil
		}
	}
}

func (db *DB) index(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	keys := func(fields ...bson.E) driver.IndexModel { return driver.IndexModel{Keys: bson.D(fields)} }
	fechaDesc, idDesc := bson.E{Key: "fecha", Value: -1}, bson.E{Key: "_id", Value: -1}
	// One at a time: FerretDB breaks the connection when it has several of those that one command names.
	for _, model := range []driver.IndexModel{
		keys(bson.E{Key: "maquina_id", Value: 1}, fechaDesc, idDesc),
		keys(fechaDesc, idDesc),
		keys(bson.E{Key: "tipo", Value: 1}, bson.E{Key: "fecha", Value: 1}),
	} {
		if _, err := db.records.Indexes().CreateOne(ctx, model); err != nil {
			return err
		}
	}
	if _, err := db.keys.Indexes().CreateOne(ctx, keys(bson.E{Key: "maquina_id", Value: 1})); err != nil {
		return err
	}
	ttl := keys(bson.E{Key: "creada", Value: 1})
	ttl.Options = options.Index().SetExpireAfterSeconds(int32(idempotency.Life / time.Second))
	_, err := db.keys.Indexes().CreateOne(ctx, ttl)
	if e, ok := errors.AsType[driver.ServerError](err); ok && (e.HasErrorCode(codeNotImplemented) || e.HasErrorCode(codeIndexOptionsConflict)) {
		// FerretDB has no TTL indexes, and an operator may have chosen another life. ForgetKeys removes old keys in any case.
		return nil
	}
	return err
}

// adopt takes over one batch and says how many records it held.
func (db *DB) adopt(ctx context.Context, resolve Resolve, machines map[string]*maquinas.Maquina, left *remarks, done *Migration) (int, error) {
	old, err := db.unadopted(ctx)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	var unknown []string
	for _, raw := range old {
		codigo := codigoOf(raw)
		if _, asked := machines[folding.Of(codigo)]; !asked && codigo != "" {
			machines[folding.Of(codigo)] = nil
			unknown = append(unknown, codigo)
		}
	}
	if len(unknown) > 0 {
		found, err := resolve(ctx, unknown)
		if err != nil {
			return 0, err
		}
		for _, m := range found {
			machines[folding.Of(m.Codigo)] = &m
		}
	}
	var updates []driver.WriteModel
	for _, raw := range old {
		machine := machines[folding.Of(codigoOf(raw))]
		set := changes(raw, machine, left)
		if machine != nil {
			done.Adopted++
		} else {
			done.Orphans++
		}
		moved, err := db.move(ctx, raw, set, left)
		if err != nil {
			return 0, err
		}
		if !moved {
			updates = append(updates, driver.NewUpdateOneModel().
				SetFilter(bson.D{{Key: "_id", Value: raw.Lookup("_id")}}).SetUpdate(bson.D{{Key: "$set", Value: set}}))
		}
	}
	for some := range slices.Chunk(updates, bulkSize) {
		if err := db.update(ctx, some); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}

func (db *DB) update(ctx context.Context, some []driver.WriteModel) error {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	r, err := db.records.BulkWrite(ctx, some, options.BulkWrite().SetOrdered(false))
	if err == nil && r.MatchedCount == 0 {
		err = fmt.Errorf("none of %d records could be updated", len(some)) // rather than try them again for ever
	}
	return err
}

// unadopted returns some of the records that have no machine's id.
func (db *DB) unadopted(ctx context.Context) ([]bson.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	cursor, err := db.records.Find(ctx, bson.D{{Key: "maquina_id", Value: bson.D{{Key: "$exists", Value: false}}}}, options.Find().SetLimit(batchSize).SetBatchSize(batchSize))
	if err != nil {
		return nil, err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	var list []bson.Raw
	for cursor.Next(ctx) {
		list = append(list, bytes.Clone(cursor.Current))
	}
	return list, cursor.Err()
}

func codigoOf(raw bson.Raw) string { return texto.Clean(text(raw.Lookup("codigo_maquina"))) }

// changes returns the fields to be set in an old record; machine is nil when it does not exist.
func changes(raw bson.Raw, machine *maquinas.Maquina, left *remarks) bson.D {
	set := bson.D{{Key: "maquina_id", Value: int64(0)}}
	put := func(field, value string) {
		if is, ok := raw.Lookup(field).StringValueOK(); !ok || is != value {
			set = append(set, bson.E{Key: field, Value: value})
		}
	}
	codigo := codigoOf(raw)
	if machine != nil {
		set[0].Value, codigo = machine.ID, machine.Codigo
	}
	put("codigo_maquina", codigo)

	// A day must be a text, whatever it says: pages are cut by it.
	dia, understood := day(raw.Lookup("fecha"))
	put("fecha", dia)
	if !understood {
		left.add("have a fecha that is no day", raw)
	}
	if tipo := text(raw.Lookup("tipo")); tipo != "" {
		if t, ok := mantenimientos.ParseTipo(tipo); ok {
			put("tipo", string(t))
		} else {
			left.add("have a tipo that is neither preventivo nor correctivo", raw)
		}
	}
	return set
}

// move gives a record another _id if the one it has would break the order of pages, which knows ObjectIDs and texts that do not look
// like one: anything else becomes such a text. The new document is written before the old one goes, so that nothing is lost.
func (db *DB) move(ctx context.Context, raw bson.Raw, set bson.D, left *remarks) (bool, error) {
	old := raw.Lookup("_id")
	id := text(old)
	_, err := bson.ObjectIDFromHex(id)
	switch {
	case old.Type == bson.TypeObjectID, old.Type == bson.TypeString && err != nil:
		return false, nil
	case err == nil:
		id = "id-" + id
	}
	doc := bson.D{{Key: "_id", Value: id}}
	changed := map[string]bool{"_id": true}
	for _, e := range set {
		changed[e.Key] = true
	}
	elements, err := raw.Elements()
	if err != nil {
		return false, err
	}
	for _, e := range elements {
		if !changed[e.Key()] {
			doc = append(doc, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	doc = append(doc, set...)
	if _, err = db.records.InsertOne(ctx, doc); driver.IsDuplicateKeyError(err) {
		there, err := db.records.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Raw()
		if err != nil {
			return false, err
		}
		ours, err := bson.Marshal(doc)
		if err != nil {
			return false, err
		}
		if decode(there) != decode(ours) {
			left.add("keep an _id whose other form belongs to another record", raw)
			return false, nil
		}
	} else if err != nil {
		return false, err
	}
	_, err = db.records.DeleteOne(ctx, bson.D{{Key: "_id", Value: old}})
	return true, err
}

// remarks counts what was left as it was, with a few examples.
type remarks struct {
	whats []string
	ids   map[string][]string
	n     map[string]int
}

func (r *remarks) add(what string, raw bson.Raw) {
	if r.n == nil {
		r.ids, r.n = map[string][]string{}, map[string]int{}
	}
	if r.n[what]++; r.n[what] == 1 {
		r.whats = append(r.whats, what)
	}
	if len(r.ids[what]) < 5 {
		r.ids[what] = append(r.ids[what], text(raw.Lookup("_id")))
	}
}

func (r *remarks) sentences() []string {
	var list []string
	for _, what := range r.whats {
		list = append(list, fmt.Sprintf("%d old records %s and were left so, such as _id %s", r.n[what], what, strings.Join(r.ids[what], ", ")))
	}
	return list
}
