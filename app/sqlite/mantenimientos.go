package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/idempotency"
	"siglab/app/mantenimientos"
)

var _ mantenimientos.Store = (*Mantenimientos)(nil)

// Mantenimientos keeps the maintenance records, beside the machines.
type Mantenimientos struct {
	db      *DB
	now     func() time.Time
	process [5]byte
	counter atomic.Uint32
}

// NewMantenimientos returns the store of an open file. now is its clock; nil is time.Now.
func NewMantenimientos(db *DB, now func() time.Time) *Mantenimientos {
	s := &Mantenimientos{db: db, now: now}
	if now == nil {
		s.now = time.Now
	}
	var seed [3]byte
	_, _ = rand.Read(s.process[:]) // never fails, says its documentation
	_, _ = rand.Read(seed[:])
	s.counter.Store(uint32(seed[0])<<8 | uint32(seed[1])) // far from overflowing its three bytes
	return s
}

// newID makes an ID as MongoDB's ObjectIDs are made: seconds, five bytes of this process, and a counter.
func (s *Mantenimientos) newID() string {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:], uint32(s.now().Unix()))
	copy(b[4:], s.process[:])
	n := s.counter.Add(1)
	b[9], b[10], b[11] = byte(n>>16), byte(n>>8), byte(n)
	return hex.EncodeToString(b[:])
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// Insert implements mantenimientos.Store. The record and its key are one transaction, so no attempt is ever half done.
func (s *Mantenimientos) Insert(ctx context.Context, m mantenimientos.Mantenimiento, key *idempotency.Key) (mantenimientos.Mantenimiento, error) {
	added, err := s.insert(ctx, m, key)
	if err != nil {
		return mantenimientos.Mantenimiento{}, classified(err)
	}
	return added, nil
}

// classified makes an Unavailable error of one that says that another process keeps the file too long.
func classified(err error) error {
	if !locked(err) {
		return err
	}
	return &errs.Error{
		Kind:       errs.Unavailable,
		Message:    "Otro proceso ocupa la base de datos; intente de nuevo en unos segundos.",
		RetryAfter: time.Second,
		Cause:      err,
	}
}

func (s *Mantenimientos) insert(ctx context.Context, m mantenimientos.Mantenimiento, key *idempotency.Key) (mantenimientos.Mantenimiento, error) {
	m.ID = s.newID()
	tx, err := s.db.Write.BeginTx(ctx, nil)
	if err != nil {
		return m, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back, and before one the first error tells more
	if key != nil {
		now := s.now()
		var fingerprint string
		before := m // the same body, so but for these what was added then
		err := tx.QueryRowContext(ctx, `
			SELECT huella, mantenimiento_id, maquina_id, codigo
			FROM idempotencia_mantenimientos
			WHERE id = ? AND creada_ms > ?`, key.ID, now.Add(-idempotency.Life).UnixMilli()).
			Scan(&fingerprint, &before.ID, &before.MaquinaID, &before.CodigoMaquina)
		switch {
		case err == nil && fingerprint != key.Fingerprint:
			return m, idempotency.ErrReused()
		case err == nil:
			return before, nil
		case !errors.Is(err, sql.ErrNoRows):
			return m, err
		}
		_, err = tx.ExecContext(ctx, `
			INSERT OR REPLACE INTO idempotencia_mantenimientos (id, huella, mantenimiento_id, maquina_id, codigo, creada_ms)
			VALUES (?, ?, ?, ?, ?, ?)`, key.ID, key.Fingerprint, m.ID, m.MaquinaID, m.CodigoMaquina, now.UnixMilli())
		if err != nil {
			return m, err
		}
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO mantenimientos (id, maquina_id, codigo, clave, empresa, tecnico, tipo, fecha, observaciones, usuario)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		m.ID, m.MaquinaID, m.CodigoMaquina, clave.Of(m.CodigoMaquina), m.Empresa, m.Tecnico, nullable(string(m.Tipo)), string(m.Fecha), m.Observaciones, nullable(m.Usuario))
	if err != nil {
		return m, err
	}
	return m, tx.Commit()
}

// conditions makes the conditions of a filter, and says false when nothing can meet them.
func conditions(f mantenimientos.Filtro) (where []string, args []any, possible bool) {
	if f.MaquinaID != 0 {
		where, args = append(where, "maquina_id = ?"), append(args, f.MaquinaID)
	}
	if f.Tipo != "" {
		where, args = append(where, "tipo = ?"), append(args, string(f.Tipo))
	}
	if f.Desde != "" {
		where, args = append(where, "fecha >= ?"), append(args, string(f.Desde))
	}
	if f.Hasta != "" {
		where, args = append(where, "fecha <= ?"), append(args, string(f.Hasta))
	}
	if f.Buscar != "" {
		where, args = append(where, "INSTR(clave, ?) > 0"), append(args, f.Buscar)
	}
	return where, args, utf8.ValidString(f.Buscar)
}

func clause(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}

// scan reads the columns id, maquina_id, codigo, empresa, tecnico, tipo, fecha, observaciones, usuario.
func scan(rows *sql.Rows) (mantenimientos.Mantenimiento, error) {
	var m mantenimientos.Mantenimiento
	var tipo, usuario sql.NullString
	err := rows.Scan(&m.ID, &m.MaquinaID, &m.CodigoMaquina, &m.Empresa, &m.Tecnico, &tipo, (*string)(&m.Fecha), &m.Observaciones, &usuario)
	m.Tipo, m.Usuario = mantenimientos.Tipo(tipo.String), usuario.String
	return m, err
}

func (s *Mantenimientos) list(ctx context.Context, query string, args ...any) ([]mantenimientos.Mantenimiento, error) {
	rows, err := s.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []mantenimientos.Mantenimiento
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// Page implements mantenimientos.Store.
func (s *Mantenimientos) Page(ctx context.Context, q mantenimientos.Query) ([]mantenimientos.Mantenimiento, error) {
	where, args, possible := conditions(q.Filtro)
	if !possible {
		return nil, nil
	}
	than, direction := "<", "DESC"
	if q.Asc {
		than, direction = ">", "ASC"
	}
	if q.After != nil {
		where = append(where, "(fecha "+than+" ? OR (fecha = ? AND id "+than+" ?))")
		args = append(args, q.After[0], q.After[0], q.After[1])
	}
	return s.list(ctx, `
		SELECT id, maquina_id, codigo, empresa, tecnico, tipo, fecha, observaciones, usuario
		FROM mantenimientos`+clause(where)+`
		ORDER BY fecha `+direction+`, id `+direction+`
		LIMIT ?`, append(args, q.Limite)...)
}

// Count implements mantenimientos.Store.
func (s *Mantenimientos) Count(ctx context.Context, f mantenimientos.Filtro) (n int64, err error) {
	where, args, possible := conditions(f)
	if !possible {
		return 0, nil
	}
	err = s.db.Read.QueryRowContext(ctx, `SELECT COUNT(*) FROM mantenimientos`+clause(where), args...).Scan(&n)
	return n, err
}

// OfMaquinas implements mantenimientos.Store.
func (s *Mantenimientos) OfMaquinas(ctx context.Context, ids []int64) (map[int64][]mantenimientos.Mantenimiento, error) {
	all := map[int64][]mantenimientos.Mantenimiento{}
	for some := range slices.Chunk(ids, 500) {
		args := make([]any, len(some))
		for i, id := range some {
			args[i] = id
		}
		list, err := s.list(ctx, `
			SELECT id, maquina_id, codigo, empresa, tecnico, tipo, fecha, observaciones, usuario
			FROM mantenimientos
			WHERE maquina_id IN (`+strings.TrimSuffix(strings.Repeat("?,", len(some)), ",")+`)
			ORDER BY maquina_id, fecha DESC, id DESC`, args...)
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			all[m.MaquinaID] = append(all[m.MaquinaID], m)
		}
	}
	return all, nil
}

// DeleteOfMaquina implements mantenimientos.Store and maquinas.Records.
func (s *Mantenimientos) DeleteOfMaquina(ctx context.Context, maquinaID int64) (int64, error) {
	result, err := s.db.Write.ExecContext(ctx, `DELETE FROM mantenimientos WHERE maquina_id = ?`, maquinaID)
	if err != nil {
		return 0, classified(err)
	}
	return result.RowsAffected()
}

// Resumen implements mantenimientos.Store.
func (s *Mantenimientos) Resumen(ctx context.Context, since fecha.Fecha) (mantenimientos.Resumen, error) {
	r := mantenimientos.Resumen{PorTipo: map[mantenimientos.Tipo]int64{}, PorDia: map[mantenimientos.Tipo]map[fecha.Fecha]int64{}}
	// One snapshot for all three, so that the parts agree.
	tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return r, err
	}
	defer tx.Rollback() //nolint:errcheck // it wrote nothing
	count := func(query string, args []any, add func(tipo mantenimientos.Tipo, day fecha.Fecha, n int64)) error {
		rows, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var tipo, day string
			var n int64
			if err := rows.Scan(&tipo, &day, &n); err != nil {
				return err
			}
			add(mantenimientos.Tipo(tipo), fecha.Fecha(day), n)
		}
		return rows.Err()
	}
	err = count(`
		SELECT COALESCE(tipo, ''), '', COUNT(*)
		FROM mantenimientos
		GROUP BY tipo`, nil,
		func(tipo mantenimientos.Tipo, _ fecha.Fecha, n int64) {
			r.PorTipo[tipo] += n
			r.Total += n
		})
	if err != nil {
		return r, err
	}
	err = count(`
		SELECT tipo, fecha, COUNT(*)
		FROM mantenimientos
		WHERE tipo IN (?, ?) AND fecha >= ?
		GROUP BY tipo, fecha`, []any{string(mantenimientos.Preventivo), string(mantenimientos.Correctivo), string(since)},
		func(tipo mantenimientos.Tipo, day fecha.Fecha, n int64) {
			if r.PorDia[tipo] == nil {
				r.PorDia[tipo] = map[fecha.Fecha]int64{}
			}
			r.PorDia[tipo][day] = n
		})
	if err != nil {
		return r, err
	}
	rows, err := tx.QueryContext(ctx, `
		SELECT id, maquina_id, codigo, empresa, tecnico, tipo, fecha, observaciones, usuario
		FROM mantenimientos
		ORDER BY fecha DESC, id DESC
		LIMIT 10`)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return r, err
		}
		r.Ultimos = append(r.Ultimos, m)
	}
	return r, rows.Err()
}

// ForgetKeys implements mantenimientos.Store.
func (s *Mantenimientos) ForgetKeys(ctx context.Context, before time.Time) error {
	_, err := s.db.Write.ExecContext(ctx, `DELETE FROM idempotencia_mantenimientos WHERE creada_ms < ?`, before.UnixMilli())
	return classified(err)
}
