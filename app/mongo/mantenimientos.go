package mongo

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/guard"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
)

var _ mantenimientos.Store = (*Mantenimientos)(nil)

// Mantenimientos is a mantenimientos.Store in MongoDB.
type Mantenimientos struct {
	db    *DB
	guard *guard.Guard
	now   func() time.Time
}

// NewMantenimientos makes the store. g may be nil; now dates the idempotency keys.
func NewMantenimientos(db *DB, g *guard.Guard, now func() time.Time) *Mantenimientos {
	return &Mantenimientos{db: db, guard: g, now: now}
}

func (s *Mantenimientos) do(ctx context.Context, operation string, call func(context.Context) error) error {
	return s.guard.Do(ctx, func(ctx context.Context) error { return s.db.watch(ctx, operation, call) })
}

// clave is an idempotency key's document. It is written before the record it promises.
type clave struct {
	ID              string        `bson:"_id"`
	Huella          string        `bson:"huella"`
	MantenimientoID bson.ObjectID `bson:"mantenimiento_id"`
	MaquinaID       int64         `bson:"maquina_id"`
	Creada          time.Time     `bson:"creada"`
	Borrada         bool          `bson:"borrada,omitempty"` // the machine's records were removed since
}

// Insert implements mantenimientos.Store.
func (s *Mantenimientos) Insert(ctx context.Context, m mantenimientos.Mantenimiento, key *idempotency.Key) (mantenimientos.Mantenimiento, error) {
	err := s.do(ctx, "insert", func(ctx context.Context) (err error) {
		if key == nil {
			id := bson.NewObjectID()
			m.ID = id.Hex()
			_, err = s.db.records.InsertOne(ctx, encode(id, m))
			return err
		}
		m, err = s.insertOnce(ctx, m, key)
		return err
	})
	if err != nil {
		return mantenimientos.Mantenimiento{}, err
	}
	return m, nil
}

func (s *Mantenimientos) insertOnce(ctx context.Context, m mantenimientos.Mantenimiento, key *idempotency.Key) (mantenimientos.Mantenimiento, error) {
	for range 3 { // a key can vanish or expire between two steps, but not again and again
		now := s.now()
		k := clave{ID: key.ID, Huella: key.Fingerprint, MantenimientoID: bson.NewObjectID(), MaquinaID: m.MaquinaID, Creada: now}
		_, err := s.db.keys.InsertOne(ctx, k)
		if err == nil {
			m.ID = k.MantenimientoID.Hex()
			_, err = s.db.records.InsertOne(ctx, encode(k.MantenimientoID, m))
			if driver.IsDuplicateKeyError(err) {
				err = nil // a retry overtook us between the two inserts, and its record is this one
			}
			return m, err
		}
		if !driver.IsDuplicateKeyError(err) {
			return m, err
		}
		err = s.db.keys.FindOne(ctx, bson.D{{Key: "_id", Value: key.ID}}).Decode(&k)
		switch {
		case errors.Is(err, driver.ErrNoDocuments):
			continue
		case err != nil:
			return m, err
		case !now.Before(k.Creada.Add(idempotency.Life)):
			// Only the one that was read may go: another retry may have renewed it already.
			_, err = s.db.keys.DeleteOne(ctx, bson.D{{Key: "_id", Value: key.ID}, {Key: "mantenimiento_id", Value: k.MantenimientoID}})
			if err != nil {
				return m, err
			}
			continue
		case k.Huella != key.Fingerprint:
			return m, idempotency.ErrReused()
		}
		return s.finish(ctx, m, k)
	}
	return m, errs.New(errs.Unavailable, "Otra solicitud usa la misma clave de idempotencia; intente de nuevo en unos segundos.")
}

// finish answers a retry. Records go with their machine alone, so one that is not there was never written, unless its machine's
// records were removed since, or the code now belongs to another machine: then it was there, and stays removed.
func (s *Mantenimientos) finish(ctx context.Context, m mantenimientos.Mantenimiento, k clave) (mantenimientos.Mantenimiento, error) {
	there := !k.Borrada && k.MaquinaID == m.MaquinaID
	m.ID, m.MaquinaID = k.MantenimientoID.Hex(), k.MaquinaID
	if there {
		_, err := s.db.records.InsertOne(ctx, encode(k.MantenimientoID, m))
		if !driver.IsDuplicateKeyError(err) {
			return m, err
		}
	}
	raw, err := s.db.records.FindOne(ctx, bson.D{{Key: "_id", Value: k.MantenimientoID}}).Raw()
	if errors.Is(err, driver.ErrNoDocuments) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	return decode(raw), nil
}

// Page implements mantenimientos.Store.
func (s *Mantenimientos) Page(ctx context.Context, q mantenimientos.Query) ([]mantenimientos.Mantenimiento, error) {
	var list []mantenimientos.Mantenimiento
	filter, none := filterOf(q.Filtro, q.After, q.Asc)
	if none {
		return list, ctx.Err()
	}
	err := s.do(ctx, "find", func(ctx context.Context) (err error) {
		list, err = s.find(ctx, filter, options.Find().SetSort(order(q.Asc)).SetLimit(int64(q.Limite)).SetBatchSize(int32(q.Limite)))
		return err
	})
	return list, err
}

func order(asc bool) bson.D {
	if asc {
		return bson.D{{Key: "fecha", Value: 1}, {Key: "_id", Value: 1}}
	}
	return bson.D{{Key: "fecha", Value: -1}, {Key: "_id", Value: -1}}
}

func (s *Mantenimientos) find(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder) ([]mantenimientos.Mantenimiento, error) {
	cursor, err := s.db.records.Find(ctx, filter, o)
	if err != nil {
		return nil, err
	}
	defer cursor.Close(context.WithoutCancel(ctx)) // bounded by the client's own timeout
	var list []mantenimientos.Mantenimiento
	for cursor.Next(ctx) {
		list = append(list, decode(cursor.Current))
	}
	return list, cursor.Err()
}

// Count implements mantenimientos.Store.
func (s *Mantenimientos) Count(ctx context.Context, f mantenimientos.Filtro) (n int64, err error) {
	filter, none := filterOf(f, nil, false)
	if none {
		return 0, ctx.Err()
	}
	err = s.do(ctx, "aggregate", func(ctx context.Context) (err error) {
		n, err = s.db.records.CountDocuments(ctx, filter)
		return err
	})
	return n, err
}

// longestPart is more bytes than any code has; MongoDB refuses patterns of more than 32 KiB.
const longestPart = 2000

// filterOf makes the filter of a page, or says that nothing can fit it. Days and codes are texts, so comparing them is comparing
// texts; what is searched for is quoted, so it is text too. Its case is folded letter by letter: a code with ß is found by ß, not by ss.
func filterOf(f mantenimientos.Filtro, after []string, asc bool) (filter bson.D, none bool) {
	filter = bson.D{}
	if f.MaquinaID != 0 {
		filter = append(filter, bson.E{Key: "maquina_id", Value: f.MaquinaID})
	}
	if f.Tipo != "" {
		filter = append(filter, bson.E{Key: "tipo", Value: string(f.Tipo)})
	}
	if f.Buscar != "" {
		// No code has such characters, and a pattern must not.
		if len(f.Buscar) > longestPart || !utf8.ValidString(f.Buscar) || strings.ContainsFunc(f.Buscar, unicode.IsControl) {
			return nil, true
		}
		filter = append(filter, bson.E{Key: "codigo_maquina", Value: bson.Regex{Pattern: regexp.QuoteMeta(f.Buscar), Options: "i"}})
	}
	var days bson.D
	lower, upper := string(f.Desde), string(f.Hasta)
	bounded := upper != ""
	if len(after) == 2 {
		// A row comes after (day, id) when its day does or, on that day, its id does. The day's bound stands outside of the $or
		// as well, for the index to begin there.
		compare := "$lt"
		if asc {
			compare, lower = "$gt", max(lower, after[0])
		} else if !bounded || after[0] < upper {
			bounded, upper = true, after[0]
		}
		either := bson.A{bson.D{{Key: "fecha", Value: bson.D{{Key: compare, Value: after[0]}}}}}
		for _, ids := range idsAfter(after[1], compare, asc) {
			either = append(either, bson.D{{Key: "_id", Value: ids}})
		}
		filter = append(filter, bson.E{Key: "$or", Value: either})
	}
	if lower != "" {
		days = append(days, bson.E{Key: "$gte", Value: lower})
	}
	if bounded {
		days = append(days, bson.E{Key: "$lte", Value: upper})
	}
	if days != nil {
		filter = append(filter, bson.E{Key: "fecha", Value: days})
	}
	return filter, false
}

// idsAfter returns the conditions under which an _id comes after another. MongoDB sorts texts, which old records may have, before
// ObjectIDs, but compares a value with its own kind only.
func idsAfter(id, compare string, asc bool) []bson.D {
	oid, err := bson.ObjectIDFromHex(id)
	switch {
	case err != nil && asc:
		return []bson.D{{{Key: compare, Value: id}}, {{Key: "$type", Value: "objectId"}}}
	case err != nil:
		return []bson.D{{{Key: compare, Value: id}}}
	case asc:
		return []bson.D{{{Key: compare, Value: oid}}}
	default:
		return []bson.D{{{Key: compare, Value: oid}}, {{Key: "$type", Value: "string"}}}
	}
}

// OfMaquinas implements mantenimientos.Store.
func (s *Mantenimientos) OfMaquinas(ctx context.Context, ids []int64) (map[int64][]mantenimientos.Mantenimiento, error) {
	all := make(map[int64][]mantenimientos.Mantenimiento, len(ids))
	if len(ids) == 0 {
		return all, ctx.Err()
	}
	err := s.do(ctx, "find", func(ctx context.Context) error {
		list, err := s.find(ctx, bson.D{{Key: "maquina_id", Value: bson.D{{Key: "$in", Value: ids}}}},
			options.Find().SetSort(order(false)).SetBatchSize(2000))
		for _, m := range list {
			all[m.MaquinaID] = append(all[m.MaquinaID], m)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// DeleteOfMaquina implements mantenimientos.Store. The records of machine 0, which is none, stay.
func (s *Mantenimientos) DeleteOfMaquina(ctx context.Context, maquinaID int64) (n int64, err error) {
	if maquinaID == 0 {
		return 0, ctx.Err()
	}
	mine := bson.D{{Key: "maquina_id", Value: maquinaID}}
	err = s.do(ctx, "update", func(ctx context.Context) error {
		// First the keys, so that no retry brings back a record that is about to go.
		_, err := s.db.keys.UpdateMany(ctx, mine, bson.D{{Key: "$set", Value: bson.D{{Key: "borrada", Value: true}}}})
		if err != nil {
			return err
		}
		r, err := s.db.records.DeleteMany(ctx, mine)
		if err == nil {
			n = r.DeletedCount
		}
		return err
	})
	return n, err
}

// recent is how many records the dashboard shows.
const recent = 10

// Resumen implements mantenimientos.Store. Its parts are read one after another, so a record that is added meanwhile may be in
// some of them only.
func (s *Mantenimientos) Resumen(ctx context.Context, since fecha.Fecha) (mantenimientos.Resumen, error) {
	r := mantenimientos.Resumen{PorTipo: map[mantenimientos.Tipo]int64{}, PorDia: map[mantenimientos.Tipo]map[fecha.Fecha]int64{}}
	err := s.do(ctx, "aggregate", func(ctx context.Context) error {
		r.Total = 0
		clear(r.PorTipo)
		err := s.group(ctx, bson.D{}, "$tipo", func(tipo bson.RawValue, n int64) {
			t, _ := mantenimientos.ParseTipo(text(tipo))
			r.PorTipo[t] += n
			r.Total += n
		})
		if err != nil {
			return err
		}
		for _, tipo := range []mantenimientos.Tipo{mantenimientos.Preventivo, mantenimientos.Correctivo} {
			days := map[fecha.Fecha]int64{}
			filter, _ := filterOf(mantenimientos.Filtro{Tipo: tipo, Desde: since}, nil, false)
			err := s.group(ctx, filter, "$fecha", func(dia bson.RawValue, n int64) {
				d, _ := day(dia)
				days[fecha.Fecha(d)] += n
			})
			if err != nil {
				return err
			}
			r.PorDia[tipo] = days
		}
		r.Ultimos, err = s.find(ctx, bson.D{}, options.Find().SetSort(order(false)).SetLimit(recent))
		return err
	})
	if err != nil {
		return mantenimientos.Resumen{}, err
	}
	return r, nil
}

// group counts the documents that match, by the value of one field.
func (s *Mantenimientos) group(ctx context.Context, match bson.D, field string, each func(value bson.RawValue, n int64)) error {
	cursor, err := s.db.records.Aggregate(ctx, bson.A{
		bson.D{{Key: "$match", Value: match}},
		bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: field}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}}}},
	})
	if err != nil {
		return err
	}
	defer cursor.Close(context.WithoutCancel(ctx))
	for cursor.Next(ctx) {
		n, _ := cursor.Current.Lookup("n").AsInt64OK()
		each(cursor.Current.Lookup("_id"), n)
	}
	return cursor.Err()
}

// ForgetKeys implements mantenimientos.Store.
func (s *Mantenimientos) ForgetKeys(ctx context.Context, before time.Time) error {
	return s.do(ctx, "delete", func(ctx context.Context) error {
		_, err := s.db.keys.DeleteMany(ctx, bson.D{{Key: "creada", Value: bson.D{{Key: "$lt", Value: before}}}})
		return err
	})
}
