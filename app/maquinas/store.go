package maquinas

import (
	"context"
	"time"

	"siglab/app/idempotency"
)

// MaxBatch is how many machines one InsertAll may add: enough that its round trip costs nothing a machine, and few enough that it
// ends well within a statement's time.
const MaxBatch = 1000

// Store keeps the machines. A store that does not answer in its time returns an Unavailable error; codes are compared by
// clave.Of, whatever case they come in.
type Store interface {
	// ByCodigo returns one machine, or NotFound.
	ByCodigo(ctx context.Context, codigo string) (Maquina, error)
	// Page returns at most q.Limite machines after q.After, in q's order, compared byte by byte.
	Page(ctx context.Context, q Query) ([]Maquina, error)
	// Count returns how many machines a filter selects.
	Count(ctx context.Context, f Filtro) (int64, error)
	// Insert adds m and returns it with its ID, and true. Conflict says that the code exists. With a key that was used for the
	// same body within idempotency.Life it adds nothing and returns what was added then, and false; with another body it is
	// idempotency.ErrReused. The machine and the key are one transaction: a refused insert does not use its key up.
	Insert(ctx context.Context, m Maquina, key *idempotency.Key) (Maquina, bool, error)
	// InsertAll adds all of ms, at most MaxBatch, in one transaction. Conflict says that one of the codes exists, or stands
	// there twice, and that none was added.
	InsertAll(ctx context.Context, ms []Maquina) error
	// Update replaces one machine by what change makes of it and returns it with a new Version, or NotFound. Nobody else
	// writes the row meanwhile; an error of change is returned as it is and nothing is written. ID and Codigo stay.
	Update(ctx context.Context, codigo string, change func(Maquina) (Maquina, error)) (Maquina, error)
	// Delete removes one machine that check accepts, notes it in the outbox in the same transaction and returns it, or
	// NotFound.
	Delete(ctx context.Context, codigo string, check func(Maquina) error) (Maquina, error)
	// Resumen counts the machines by condition, kind and area.
	Resumen(ctx context.Context) (Resumen, error)
}

// Resumen is the machines' part of the dashboard.
type Resumen struct {
	Total     int64
	PorEstado map[Estado]int64
	PorTipo   map[Tipo]int64
	PorArea   map[string]int64
}

// Deletion is an entry of the outbox: a machine that is gone and whose records in the other database may not be.
type Deletion struct {
	MaquinaID int64
	Codigo    string
	At        time.Time // when the machine was removed
}

// Backlog is the state of the outbox. Oldest is the time of the first deletion that no sweep has reached yet; zero when
// there is none. Those that only await their second sweep do not count.
type Backlog struct {
	Pending int64
	Oldest  time.Time
}

// Outbox holds the deletions that are to be finished. Every replica works on it at once.
type Outbox interface {
	// ClaimDeletions returns at most limit deletions that are due at now and hides them from everybody until now+lease. Rows
	// that another replica is claiming are skipped, not waited for.
	ClaimDeletions(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Deletion, error)
	// PostponeDeletion makes one due again at that time; swept says that its records were removed once already.
	PostponeDeletion(ctx context.Context, maquinaID int64, until time.Time, swept bool) error
	// FinishDeletion removes one from the outbox. One that is not there is no error.
	FinishDeletion(ctx context.Context, maquinaID int64) error
	// Backlog measures the outbox.
	Backlog(ctx context.Context) (Backlog, error)
	// ForgetKeys removes the idempotency keys that were made before that time, at most limit of them, and says how many.
	ForgetKeys(ctx context.Context, before time.Time, limit int) (int64, error)
}

// Records removes what the other database holds of a machine. Its mantenimientos.Store does it.
type Records interface {
	DeleteOfMaquina(ctx context.Context, maquinaID int64) (int64, error)
}
