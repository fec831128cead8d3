package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"siglab/app/clave"
	"siglab/app/errs"
	"siglab/app/usuarios"
)

var _ usuarios.Store = (*Usuarios)(nil)

// Usuarios keeps the accounts in table usuarios and the ended sessions in revocaciones.
type Usuarios struct{ *DB }

// ByUsername implements usuarios.Store.
func (s *Usuarios) ByUsername(ctx context.Context, username string) (u usuarios.Usuario, hash []byte, err error) {
	k := clave.Of(username)
	err = s.read(ctx, func(ctx context.Context) error {
		unknown := &rejected{errs.New(errs.NotFound, "No existe un usuario con ese nombre.")}
		if !textual(k) {
			return unknown
		}
		err := s.Read.QueryRowContext(ctx, `
			SELECT nombre_completo, username, rol, password
			FROM usuarios
			WHERE clave = ?`, k).Scan(&u.NombreCompleto, &u.Username, (*string)(&u.Rol), &hash)
		if errors.Is(err, sql.ErrNoRows) {
			return unknown
		}
		return err
	})
	return u, hash, err
}

// Insert implements usuarios.Store.
func (s *Usuarios) Insert(ctx context.Context, u usuarios.Usuario, hash []byte) error {
	return s.do(ctx, func(ctx context.Context) error {
		err := s.try(ctx, func() error {
			_, err := s.Write.ExecContext(ctx, `
				INSERT INTO usuarios (clave, nombre_completo, username, password, rol)
				VALUES (?, ?, ?, ?, ?)`, clave.Of(u.Username), u.NombreCompleto, u.Username, string(hash), string(u.Rol))
			return err
		})
		if s.Dialect.Duplicate(err) {
			return &rejected{errs.New(errs.Conflict, "Ya existe un usuario con ese nombre.")}
		}
		return err
	})
}

// InsertFirst implements usuarios.Store. Every caller that finds the table empty asks for the same ID, so one alone gets it.
func (s *Usuarios) InsertFirst(ctx context.Context, u usuarios.Usuario, hash []byte) (first bool, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		return s.try(ctx, func() error {
			result, err := s.Write.ExecContext(ctx, `
				INSERT INTO usuarios (id, clave, nombre_completo, username, password, rol)
				SELECT 1, ?, ?, ?, ?, ?
				FROM (SELECT COUNT(*) AS cuantos FROM usuarios) AS cuenta
				WHERE cuenta.cuantos = 0`, clave.Of(u.Username), u.NombreCompleto, u.Username, string(hash), string(u.Rol))
			if s.Dialect.Duplicate(err) {
				return nil
			}
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			first = n == 1
			return err
		})
	})
	return first, err
}

// ReplaceHash implements usuarios.Store.
func (s *Usuarios) ReplaceHash(ctx context.Context, username string, old, new []byte) error {
	return s.exec(ctx, `
		UPDATE usuarios SET password = ?
		WHERE clave = ? AND password = ?`, string(new), clave.Of(username), string(old))
}

// Revoke implements usuarios.Store.
func (s *Usuarios) Revoke(ctx context.Context, r usuarios.Revocation) error {
	return s.do(ctx, func(ctx context.Context) error {
		err := s.try(ctx, func() error {
			_, err := s.Write.ExecContext(ctx, `
				INSERT INTO revocaciones (sesion, expira_ms, creada_ms)
				VALUES (?, ?, `+s.Dialect.NowMS+`)`, r.Session, r.Expires.UnixMilli())
			return err
		})
		if s.Dialect.Duplicate(err) {
			return nil // it is refused already
		}
		return err
	})
}

// Revocations implements usuarios.Store. The reading of the clock and the rows are of one statement: the reading is in
// every row, and in a row of its own when there is none.
func (s *Usuarios) Revocations(ctx context.Context, since time.Time) (list []usuarios.Revocation, clock time.Time, err error) {
	var from int64
	if !since.IsZero() {
		from = since.UnixMilli()
	}
	err = s.read(ctx, func(ctx context.Context) error {
		list = nil
		rows, err := s.Read.QueryContext(ctx, `
			SELECT reloj.ahora, r.sesion, r.expira_ms
			FROM (SELECT `+s.Dialect.NowMS+` AS ahora) AS reloj
			LEFT JOIN revocaciones AS r ON r.creada_ms >= ?`, from)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var now int64
			var session sql.NullString
			var expires sql.NullInt64
			if err := rows.Scan(&now, &session, &expires); err != nil {
				return err
			}
			clock = time.UnixMilli(now)
			if session.Valid {
				list = append(list, usuarios.Revocation{Session: session.String, Expires: time.UnixMilli(expires.Int64)})
			}
		}
		return rows.Err()
	})
	return list, clock, err
}

// ForgetRevocations implements usuarios.Store.
func (s *Usuarios) ForgetRevocations(ctx context.Context, expired time.Time) error {
	return s.exec(ctx, `DELETE FROM revocaciones WHERE expira_ms <= ?`, expired.UnixMilli())
}
