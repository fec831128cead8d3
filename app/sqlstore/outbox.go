package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"siglab/app/maquinas"
)

// ClaimDeletions implements maquinas.Outbox. A look without a transaction comes first, because there is nothing to claim almost always.
func (s *Maquinas) ClaimDeletions(ctx context.Context, now time.Time, lease time.Duration, limit int) (claimed []maquinas.Deletion, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		var due bool
		err := s.Read.QueryRowContext(ctx, `
			SELECT EXISTS (SELECT 1 FROM borrados WHERE siguiente_ms <= ?)`, now.UnixMilli()).Scan(&due)
		if err != nil || !due {
			return err
		}
		return s.inTx(ctx, func(tx *sql.Tx) error {
			claimed = nil
			rows, err := tx.QueryContext(ctx, `
				SELECT maquina_id, codigo, borrada_ms
				FROM borrados
				WHERE siguiente_ms <= ?
				ORDER BY siguiente_ms
				LIMIT ?`+s.Dialect.SkipLocked, now.UnixMilli(), limit)
			if err != nil {
				return err
			}
			defer rows.Close()
			args := []any{now.Add(lease).UnixMilli()}
			for rows.Next() {
				var d maquinas.Deletion
				var at int64
				if err := rows.Scan(&d.MaquinaID, &d.Codigo, &at); err != nil {
					return err
				}
				d.At = time.UnixMilli(at)
				claimed = append(claimed, d)
				args = append(args, d.MaquinaID)
			}
			if err := rows.Err(); err != nil || len(claimed) == 0 {
				return err
			}
			_, err = tx.ExecContext(ctx, `
				UPDATE borrados SET siguiente_ms = ?
				WHERE maquina_id IN (`+marks(len(claimed))+`)`, args...)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// PostponeDeletion implements maquinas.Outbox.
func (s *Maquinas) PostponeDeletion(ctx context.Context, maquinaID int64, until time.Time, swept bool) error {
	barrida := 0
	if swept {
		barrida = 1
	}
	return s.exec(ctx, `
		UPDATE borrados SET siguiente_ms = ?, barrida = CASE WHEN barrida = 1 THEN 1 ELSE ? END
		WHERE maquina_id = ?`, until.UnixMilli(), barrida, maquinaID)
}

// FinishDeletion implements maquinas.Outbox.
func (s *Maquinas) FinishDeletion(ctx context.Context, maquinaID int64) error {
	return s.exec(ctx, `DELETE FROM borrados WHERE maquina_id = ?`, maquinaID)
}

// Backlog implements maquinas.Outbox.
func (s *Maquinas) Backlog(ctx context.Context) (b maquinas.Backlog, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		var oldest sql.NullInt64
		err := s.Read.QueryRowContext(ctx, `
			SELECT COUNT(*), MIN(borrada_ms)
			FROM borrados
			WHERE barrida = 0`).Scan(&b.Pending, &oldest)
		if oldest.Valid {
			b.Oldest = time.UnixMilli(oldest.Int64)
		}
		return err
	})
	return b, err
}

// ForgetKeys implements maquinas.Outbox. The keys are read first: a DELETE with a LIMIT is not portable, and one without locks more
// than it should at once.
func (s *Maquinas) ForgetKeys(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		rows, err := s.Read.QueryContext(ctx, `
			SELECT id
			FROM idempotencia
			WHERE creada_ms < ?
			ORDER BY creada_ms
			LIMIT ?`, before.UnixMilli(), limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		args := []any{before.UnixMilli()}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			args = append(args, id)
		}
		if err := rows.Err(); err != nil || len(args) == 1 {
			return err
		}
		return s.try(ctx, func() error {
			result, err := s.Write.ExecContext(ctx, `
				DELETE FROM idempotencia
				WHERE creada_ms < ? AND id IN (`+marks(len(args)-1)+`)`, args...)
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
	})
	return n, err
}

// exec runs one statement that writes.
func (db *DB) exec(ctx context.Context, statement string, args ...any) error {
	return db.do(ctx, func(ctx context.Context) error {
		return db.try(ctx, func() error {
			_, err := db.Write.ExecContext(ctx, statement, args...)
			return err
		})
	})
}
