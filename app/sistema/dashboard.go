package sistema

import (
	"context"
	"time"

	"siglab/app/errs"
	"siglab/app/fecha"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
)

// Dashboard is what the front end's first page shows.
type Dashboard struct {
	ServerID  string
	Timestamp time.Time
	Maquinas  maquinas.Resumen
	// Mantenimientos is nil when the records' store does not answer.
	Mantenimientos *Mantenimientos
}

// Mantenimientos is the dashboard's part about records.
type Mantenimientos struct {
	Total   int64
	PorTipo map[mantenimientos.Tipo]int64 // "" are old records that lack a kind
	Meses   []Mes                         // the last twelve, this one included, oldest first
	Ultimos []mantenimientos.Mantenimiento
}

// Mes counts the records of one calendar month.
type Mes struct {
	Mes                    string // YYYY-MM
	Preventivo, Correctivo int64
}

// Tablero makes the dashboard.
type Tablero struct {
	ServerID       string
	Maquinas       *maquinas.Service
	Mantenimientos *mantenimientos.Service
	Now            func() time.Time
}

// Dashboard returns the figures. Without the records' store it has the machines alone; without the machines' it is Unavailable.
func (t *Tablero) Dashboard(ctx context.Context) (Dashboard, error) {
	now := t.Now()
	d := Dashboard{ServerID: t.ServerID, Timestamp: now}
	var err error
	if d.Maquinas, err = t.Maquinas.Resumen(ctx); err != nil {
		return Dashboard{}, err
	}
	first := time.Date(now.Year(), now.Month()-11, 1, 0, 0, 0, 0, now.Location())
	r, err := t.Mantenimientos.Resumen(ctx, fecha.Of(first))
	if errs.KindOf(err) == errs.Unavailable {
		return d, nil
	} else if err != nil {
		return Dashboard{}, err
	}
	m := &Mantenimientos{Total: r.Total, PorTipo: r.PorTipo, Ultimos: r.Ultimos}
	at := map[string]int{}
	for i := range 12 {
		mes := first.AddDate(0, i, 0).Format("2006-01")
		at[mes] = i
		m.Meses = append(m.Meses, Mes{Mes: mes})
	}
	for tipo, dias := range r.PorDia {
		for dia, n := range dias {
			i, ok := at[string(dia[:min(len(dia), len("2006-01"))])] // a record may be dated ahead, and an old one oddly
			switch {
			case ok && tipo == mantenimientos.Preventivo:
				m.Meses[i].Preventivo += n
			case ok && tipo == mantenimientos.Correctivo:
				m.Meses[i].Correctivo += n
			}
		}
	}
	d.Mantenimientos = m
	return d, nil
}
