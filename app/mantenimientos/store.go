package mantenimientos

import (
	"context"
	"time"

	"siglab/app/fecha"
	"siglab/app/idempotency"
)

// Filtro selects records; its zero value selects all.
type Filtro struct {
	MaquinaID int64 // 0 is every machine
	Tipo      Tipo
	Desde     fecha.Fecha // first day, included
	Hasta     fecha.Fecha // last day, included
	Buscar    string      // clave.Of of a part of the machine's code
}

// Query is one page of records, ordered by day and, within a day, by ID; newest first unless Asc.
type Query struct {
	Filtro
	Asc    bool
	Limite int
	After  []string // the last row of the page before: its day and its ID; nil is the first page
}

// Resumen is the records' part of the dashboard. PorTipo has "" for records that lack a kind.
type Resumen struct {
	Total   int64
	PorTipo map[Tipo]int64
	PorDia  map[Tipo]map[fecha.Fecha]int64 // preventivo and correctivo, from the day that was asked for on
	Ultimos []Mantenimiento                // the newest ten
}

// Store keeps the records. A store that does not answer in its time returns an Unavailable error.
type Store interface {
	// Insert adds m and returns it with its ID. With a key that was used for the same body within idempotency.Life it adds
	// nothing, finishes what an interrupted attempt began, and returns the record as it was then; with another body it is
	// idempotency.ErrReused.
	Insert(ctx context.Context, m Mantenimiento, key *idempotency.Key) (Mantenimiento, error)
	// Page returns at most q.Limite records after q.After.
	Page(ctx context.Context, q Query) ([]Mantenimiento, error)
	// Count returns how many records a filter selects.
	Count(ctx context.Context, f Filtro) (int64, error)
	// OfMaquinas returns every record of these machines by machine, each machine's newest first.
	OfMaquinas(ctx context.Context, ids []int64) (map[int64][]Mantenimiento, error)
	// DeleteOfMaquina removes every record of a machine and says how many there were.
	DeleteOfMaquina(ctx context.Context, maquinaID int64) (int64, error)
	// Resumen counts all records, and those since a day by day.
	Resumen(ctx context.Context, since fecha.Fecha) (Resumen, error)
	// ForgetKeys removes the idempotency keys that were made before that time.
	ForgetKeys(ctx context.Context, before time.Time) error
}
