package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/idempotency"
	"siglab/app/maquinas"
)

var (
	_ maquinas.Store  = (*Maquinas)(nil)
	_ maquinas.Outbox = (*Maquinas)(nil)
)

// Maquinas keeps the machines in table maquinas, their idempotency keys in idempotencia and the outbox of deletions in borrados.
type Maquinas struct{ *DB }

func errNoMachine() error {
	return errs.New(errs.NotFound, "No existe una máquina con ese código.")
}

// scanMachine reads the columns id, codigo, tipo, estado, area, fecha, usuario, version.
func scanMachine(row interface{ Scan(...any) error }) (maquinas.Maquina, error) {
	var m maquinas.Maquina
	var usuario sql.NullString
	err := row.Scan(&m.ID, &m.Codigo, (*string)(&m.Tipo), (*string)(&m.Estado), &m.Area, (*string)(&m.Fecha), &usuario, &m.Version)
	m.Usuario = usuario.String
	return m, err
}

// scanMachines reads the same columns of every row. The usual list is 10,000 machines long: values that repeat are made once, and
// numbers are read without database/sql's reflection.
func scanMachines(rows *sql.Rows, limit int) ([]maquinas.Maquina, error) {
	list := make([]maquinas.Maquina, 0, min(limit, 512))
	repeated := map[string]string{}
	once := func(raw sql.RawBytes) string {
		if s, ok := repeated[string(raw)]; ok {
			return s
		}
		s := string(raw)
		repeated[s] = s
		return s
	}
	var id, codigo, tipo, estado, area, day, usuario, version sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&id, &codigo, &tipo, &estado, &area, &day, &usuario, &version); err != nil {
			return nil, err
		}
		m := maquinas.Maquina{
			Codigo: string(codigo), Tipo: maquinas.Tipo(once(tipo)), Estado: maquinas.Estado(once(estado)), Area: once(area),
			Fecha: fecha.Fecha(once(day)), Usuario: once(usuario),
		}
		var err error
		if m.ID, err = strconv.ParseInt(string(id), 10, 64); err != nil {
			return nil, err
		}
		if m.Version, err = strconv.ParseInt(string(version), 10, 64); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// byClave reads one machine; lock is "" or the dialect's ForUpdate.
func byClave(ctx context.Context, q queryer, k, lock string) (maquinas.Maquina, error) {
	if !textual(k) {
		return maquinas.Maquina{}, &rejected{errNoMachine()}
	}
	m, err := scanMachine(q.QueryRowContext(ctx, `
		SELECT id, codigo, tipo, estado, area, fecha, usuario, version
		FROM maquinas
		WHERE clave = ?`+lock, k))
	if errors.Is(err, sql.ErrNoRows) {
		return m, &rejected{errNoMachine()}
	}
	return m, err
}

// ByCodigo implements maquinas.Store.
func (s *Maquinas) ByCodigo(ctx context.Context, codigo string) (m maquinas.Maquina, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		m, err = byClave(ctx, s.Read, clave.Of(codigo), "")
		return err
	})
	return m, err
}

// filter makes the conditions of f, and says false when nothing can meet them.
func filter(f maquinas.Filtro) (w where, possible bool) {
	if f.Tipo != "" {
		w.and("tipo = ?", string(f.Tipo))
	}
	if f.Estado != "" {
		w.and("estado = ?", string(f.Estado))
	}
	if f.Area != "" {
		w.and("area = ?", f.Area)
	}
	if f.Desde != "" {
		w.and("fecha >= ?", string(f.Desde))
	}
	if f.Hasta != "" {
		w.and("fecha <= ?", string(f.Hasta))
	}
	if f.Buscar != "" {
		w.and("INSTR(clave, ?) > 0", f.Buscar) // LIKE would give % and _ a meaning
	}
	return w, textual(string(f.Tipo), string(f.Estado), f.Area, f.Buscar)
}

// columns are the fields of an order as the table has them.
var columns = map[maquinas.Campo]string{
	maquinas.PorTipo:   "tipo",
	maquinas.PorEstado: "estado",
	maquinas.PorArea:   "area",
	maquinas.PorFecha:  "fecha",
}

// Page implements maquinas.Store. The keyset is written so that each database reads it as one range of the index (campo, clave);
// a comparison of row values would be shorter, and MySQL would scan for it.
func (s *Maquinas) Page(ctx context.Context, q maquinas.Query) (list []maquinas.Maquina, err error) {
	w, possible := filter(q.Filtro)
	if !possible {
		return nil, nil
	}
	than, direction := ">", " ASC"
	if q.Desc {
		than, direction = "<", " DESC"
	}
	order := "clave" + direction
	column, secondary := columns[q.Campo]
	if secondary {
		order = column + direction + ", " + order
	}
	if q.After != nil {
		after := make([]string, len(q.After))
		for i, v := range q.After {
			after[i] = strings.ToValidUTF8(v, "\uFFFD") // a forged cursor may begin anywhere
		}
		if secondary {
			w.and("("+column+" "+than+" ? OR ("+column+" = ? AND clave "+than+" ?))", after[0], after[0], after[1])
		} else {
			w.and("clave "+than+" ?", after[0])
		}
	}
	err = s.read(ctx, func(ctx context.Context) error {
		rows, err := s.Read.QueryContext(ctx, `
			SELECT id, codigo, tipo, estado, area, fecha, usuario, version
			FROM maquinas`+w.String()+`
			ORDER BY `+order+`
			LIMIT ?`, append(w.args, q.Limite)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		list, err = scanMachines(rows, q.Limite)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Count implements maquinas.Store.
func (s *Maquinas) Count(ctx context.Context, f maquinas.Filtro) (n int64, err error) {
	w, possible := filter(f)
	if !possible {
		return 0, nil
	}
	err = s.read(ctx, func(ctx context.Context) error {
		return s.Read.QueryRowContext(ctx, `SELECT COUNT(*) FROM maquinas`+w.String(), w.args...).Scan(&n)
	})
	return n, err
}

// insert adds the row and returns its ID.
func (s *Maquinas) insert(ctx context.Context, q queryer, m maquinas.Maquina) (int64, error) {
	result, err := q.ExecContext(ctx, `
		INSERT INTO maquinas (clave, codigo, tipo, estado, area, fecha, usuario, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, 1)`,
		clave.Of(m.Codigo), m.Codigo, string(m.Tipo), string(m.Estado), m.Area, string(m.Fecha), nullable(m.Usuario))
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// Insert implements maquinas.Store. Without a key it is one statement. With one, the machine goes in before its key: of
// several attempts at the same time all but one wait for that row, and then find the key.
func (s *Maquinas) Insert(ctx context.Context, m maquinas.Maquina, key *idempotency.Key) (added maquinas.Maquina, fresh bool, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		added, fresh, err = s.insertOnce(ctx, m, key)
		return err
	})
	if err != nil {
		return maquinas.Maquina{}, false, err
	}
	return added, fresh, nil
}

func (s *Maquinas) insertOnce(ctx context.Context, m maquinas.Maquina, key *idempotency.Key) (maquinas.Maquina, bool, error) {
	exists := &rejected{errs.New(errs.Conflict, "Ya existe una máquina con ese código.")}
	m.Version = 1
	if key == nil {
		err := s.try(ctx, func() (err error) {
			m.ID, err = s.insert(ctx, s.Write, m)
			return err
		})
		if s.Dialect.Duplicate(err) {
			return m, false, exists
		}
		return m, err == nil, err
	}
	now := s.now()
	err := s.inTx(ctx, func(tx *sql.Tx) (err error) {
		if m.ID, err = s.insert(ctx, tx, m); err != nil {
			return err
		}
		return s.insertKey(ctx, tx, m, key, now)
	})
	if !s.Dialect.Duplicate(err) {
		return m, err == nil, err
	}
	// The code is taken or the key is used: the key, if it is alive, tells which.
	before, found, err := s.byKey(ctx, m, key, now)
	switch {
	case err != nil:
		return m, false, err
	case found:
		return before, false, nil
	}
	return m, false, exists
}

// insertKey notes what a key added, in place of what it added before its life ended the last time.
func (s *Maquinas) insertKey(ctx context.Context, tx *sql.Tx, m maquinas.Maquina, key *idempotency.Key, now time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO idempotencia (id, huella, codigo, maquina_id, creada_ms)
		VALUES (?, ?, ?, ?, ?)`, key.ID, key.Fingerprint, m.Codigo, m.ID, now.UnixMilli())
	if !s.Dialect.Duplicate(err) {
		return err
	}
	result, renewErr := tx.ExecContext(ctx, `
		UPDATE idempotencia SET huella = ?, codigo = ?, maquina_id = ?, creada_ms = ?
		WHERE id = ? AND creada_ms <= ?`,
		key.Fingerprint, m.Codigo, m.ID, now.UnixMilli(), key.ID, now.Add(-idempotency.Life).UnixMilli())
	if renewErr != nil {
		return renewErr
	}
	if n, renewErr := result.RowsAffected(); renewErr != nil || n == 1 {
		return renewErr
	}
	return err
}

// byKey returns what a key that is alive added, and whether there is one. ErrReused when it came with another body. m is what the
// request would add: the same body, so but for the ID what was added then.
func (s *Maquinas) byKey(ctx context.Context, m maquinas.Maquina, key *idempotency.Key, now time.Time) (maquinas.Maquina, bool, error) {
	var fingerprint string
	err := s.Write.QueryRowContext(ctx, `
		SELECT huella, codigo, maquina_id
		FROM idempotencia
		WHERE id = ? AND creada_ms > ?`, key.ID, now.Add(-idempotency.Life).UnixMilli()).Scan(&fingerprint, &m.Codigo, &m.ID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return m, false, nil
	case err != nil:
		return m, false, err
	case fingerprint != key.Fingerprint:
		return m, false, &rejected{idempotency.ErrReused()}
	}
	return m, true, nil
}

// InsertAll implements maquinas.Store. One statement of many rows is a transaction of its own.
func (s *Maquinas) InsertAll(ctx context.Context, ms []maquinas.Maquina) error {
	if len(ms) == 0 {
		return nil
	}
	args := make([]any, 0, 7*len(ms))
	for _, m := range ms {
		args = append(args, clave.Of(m.Codigo), m.Codigo, string(m.Tipo), string(m.Estado), m.Area, string(m.Fecha), nullable(m.Usuario))
	}
	query := `
		INSERT INTO maquinas (clave, codigo, tipo, estado, area, fecha, usuario, version)
		VALUES ` + strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?, 1), ", len(ms)), ", ")
	return s.do(ctx, func(ctx context.Context) error {
		err := s.try(ctx, func() error {
			_, err := s.Write.ExecContext(ctx, query, args...)
			return err
		})
		if s.Dialect.Duplicate(err) {
			return &rejected{errs.New(errs.Conflict, "Ya existe una máquina con ese código.")}
		}
		return err
	})
}

// Update implements maquinas.Store. It reads and then writes only if the version still is what it read, which is two
// statements and holds no lock while change thinks; a call that loses that race locks the row for its second try.
func (s *Maquinas) Update(ctx context.Context, codigo string, change func(maquinas.Maquina) (maquinas.Maquina, error)) (updated maquinas.Maquina, err error) {
	k := clave.Of(codigo)
	err = s.do(ctx, func(ctx context.Context) error {
		var done bool
		if err := s.try(ctx, func() (err error) {
			updated, done, err = s.replace(ctx, s.Read, s.Write, k, "", change)
			return err
		}); done || err != nil {
			return err
		}
		return s.inTx(ctx, func(tx *sql.Tx) (err error) {
			updated, done, err = s.replace(ctx, tx, tx, k, s.Dialect.ForUpdate, change)
			if err == nil && !done {
				err = errors.New("sqlstore: a locked row changed")
			}
			return err
		})
	})
	if err != nil {
		return maquinas.Maquina{}, err
	}
	return updated, nil
}

// replace writes what change makes of a machine, unless somebody wrote it since it was read.
func (s *Maquinas) replace(ctx context.Context, from, to queryer, k, lock string, change func(maquinas.Maquina) (maquinas.Maquina, error)) (maquinas.Maquina, bool, error) {
	old, err := byClave(ctx, from, k, lock)
	if err != nil {
		return old, false, err
	}
	m, err := change(old)
	if err != nil {
		return m, false, &rejected{err}
	}
	m.ID, m.Codigo, m.Version = old.ID, old.Codigo, old.Version+1
	result, err := to.ExecContext(ctx, `
		UPDATE maquinas SET tipo = ?, estado = ?, area = ?, fecha = ?, usuario = ?, version = ?
		WHERE id = ? AND version = ?`,
		string(m.Tipo), string(m.Estado), m.Area, string(m.Fecha), nullable(m.Usuario), m.Version, m.ID, old.Version)
	if err != nil {
		return m, false, err
	}
	n, err := result.RowsAffected()
	return m, n == 1, err
}

// Delete implements maquinas.Store.
func (s *Maquinas) Delete(ctx context.Context, codigo string, check func(maquinas.Maquina) error) (m maquinas.Maquina, err error) {
	k := clave.Of(codigo)
	err = s.do(ctx, func(ctx context.Context) error {
		return s.inTx(ctx, func(tx *sql.Tx) error {
			if m, err = byClave(ctx, tx, k, s.Dialect.ForUpdate); err != nil {
				return err
			}
			if err := check(m); err != nil {
				return &rejected{err}
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM maquinas WHERE id = ?`, m.ID); err != nil {
				return err
			}
			now := s.now().UnixMilli()
			_, err := tx.ExecContext(ctx, `
				INSERT INTO borrados (maquina_id, codigo, borrada_ms, siguiente_ms, barrida)
				VALUES (?, ?, ?, ?, 0)`, m.ID, m.Codigo, now, now)
			return err
		})
	})
	if err != nil {
		return maquinas.Maquina{}, err
	}
	return m, nil
}

// Resumen implements maquinas.Store. One pass over the table gives all three counts.
func (s *Maquinas) Resumen(ctx context.Context) (r maquinas.Resumen, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		r = maquinas.Resumen{PorEstado: map[maquinas.Estado]int64{}, PorTipo: map[maquinas.Tipo]int64{}, PorArea: map[string]int64{}}
		rows, err := s.Read.QueryContext(ctx, `
			SELECT estado, tipo, area, COUNT(*)
			FROM maquinas
			GROUP BY estado, tipo, area`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var estado, tipo, area string
			var n int64
			if err := rows.Scan(&estado, &tipo, &area, &n); err != nil {
				return err
			}
			r.Total += n
			r.PorEstado[maquinas.Estado(estado)] += n
			r.PorTipo[maquinas.Tipo(tipo)] += n
			r.PorArea[area] += n
		}
		return rows.Err()
	})
	return r, err
}
