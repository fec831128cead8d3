package api

import (
	"context"
	"net/http"

	"siglab/app/sistema"
)

// Dashboard is what the front end's first page shows.
type Dashboard struct {
	ServerID       string           `json:"server_id" doc:"Réplica que responde." example:"siglab-0"`
	Timestamp      string           `json:"timestamp" format:"date-time" doc:"Cuándo, en UTC." example:"2024-04-02T13:45:00Z"`
	Total          int64            `json:"total_maquinas" doc:"Máquinas registradas." example:"400"`
	PorEstado      map[string]int64 `json:"maquinas_por_estado" doc:"Cuántas hay en cada condición."`
	PorTipo        map[string]int64 `json:"maquinas_por_tipo" doc:"Cuántas hay de cada tipo."`
	PorArea        map[string]int64 `json:"maquinas_por_area" doc:"Cuántas hay en cada área."`
	Mantenimientos *DashboardMant   `json:"mantenimientos" doc:"null cuando no se pueden leer, con la cabecera Warning."`
	Ultimos        []Mantenimiento  `json:"ultimos_mantenimientos" nullable:"false" doc:"Los diez más nuevos."`
}

// DashboardMant is the dashboard's part about records.
type DashboardMant struct {
	Total   int64            `json:"total" doc:"Registros que hay." example:"2500"`
	PorTipo map[string]int64 `json:"por_tipo" doc:"Cuántos hay de cada tipo; sin tipo, los antiguos que no lo tienen."`
	Meses   []DashboardMes   `json:"ultimos_12_meses" nullable:"false" doc:"Del más antiguo a este."`
}

// DashboardMes counts the records of one month.
type DashboardMes struct {
	Mes        string `json:"mes" doc:"AAAA-MM." example:"2024-04"`
	Preventivo int64  `json:"preventivo" example:"12"`
	Correctivo int64  `json:"correctivo" example:"3"`
}

// sinTipo is the key of records that lack a kind.
const sinTipo = "sin tipo"

// counts returns a map that is never null.
func counts[K ~string](m map[K]int64) map[string]int64 {
	out := make(map[string]int64, len(m))
	for k, n := range m {
		out[string(k)] = n
	}
	return out
}

func dashboardOf(d sistema.Dashboard) Dashboard {
	out := Dashboard{
		ServerID: d.ServerID, Timestamp: instant(d.Timestamp), Total: d.Maquinas.Total,
		PorEstado: counts(d.Maquinas.PorEstado), PorTipo: counts(d.Maquinas.PorTipo), PorArea: counts(d.Maquinas.PorArea),
		Ultimos: []Mantenimiento{},
	}
	if d.Mantenimientos == nil {
		return out
	}
	m := &DashboardMant{Total: d.Mantenimientos.Total, PorTipo: counts(d.Mantenimientos.PorTipo), Meses: []DashboardMes{}}
	if n, found := m.PorTipo[""]; found {
		delete(m.PorTipo, "")
		m.PorTipo[sinTipo] = n
	}
	for _, mes := range d.Mantenimientos.Meses {
		m.Meses = append(m.Meses, DashboardMes{Mes: mes.Mes, Preventivo: mes.Preventivo, Correctivo: mes.Correctivo})
	}
	out.Mantenimientos = m
	out.Ultimos = mantenimientosOf(d.Mantenimientos.Ultimos)
	return out
}

// Salud is the health of the process that answers.
type Salud struct {
	Status   string             `json:"status" enum:"ok,degraded,down,draining" doc:"degraded: sirve, pero algo de lo que depende no responde." example:"ok"`
	ServerID string             `json:"server_id" doc:"Réplica que responde." example:"siglab-0"`
	Version  string             `json:"version" doc:"Versión del servicio." example:"1.0.0"`
	Uptime   int64              `json:"uptime_s" doc:"Segundos desde que empezó." example:"3600"`
	Checks   map[string]Chequeo `json:"checks" doc:"Lo último que se supo de cada dependencia."`
}

// Chequeo is what was found of a dependency.
type Chequeo struct {
	Status    string  `json:"status" enum:"ok,down" example:"ok"`
	LatencyMS float64 `json:"latency_ms" doc:"Milisegundos que tardó la última respuesta." example:"0.8"`
}

func (a *API) registerSistema() {
	handle(a, operation{
		id: "dashboard", method: http.MethodGet, path: "/api/maquinas/dashboard", tag: tagMaquinas,
		summary: "Cifras del tablero", access: session, stores: ofRecords,
		description: "Sin el almacén de mantenimientos llega con la cabecera Warning y mantenimientos en null.",
		answer:      Dashboard{}, example: exampleDashboard(),
	}, func(ctx context.Context, x *exchange, _ *nothing) error {
		d, err := a.cfg.Tablero.Dashboard(ctx)
		if err != nil {
			return err
		}
		if d.Mantenimientos == nil {
			x.Header().Set("Warning", `199 - "maintenance records unavailable"`)
		}
		return x.respond(http.StatusOK, dashboardOf(d))
	})
	handle(a, operation{
		id: "health", method: http.MethodGet, path: "/api/sistema/health", tag: tagSistema,
		summary:     "Salud del servicio",
		description: "200 mientras sirve, aunque algo de lo que depende no responda (degraded); 503 al iniciar (down) y al terminar (draining).",
		access:      anyone, always: true, quiet: true, unlimited: true,
		answer: Salud{}, example: exampleSalud(),
	}, func(_ context.Context, x *exchange, _ *nothing) error {
		s := a.cfg.Monitor.Salud(a.cfg.Now())
		out := Salud{Status: string(s.Status), ServerID: s.ServerID, Version: s.Version, Uptime: int64(s.Uptime.Seconds()), Checks: map[string]Chequeo{}}
		for name, c := range s.Checks {
			out.Checks[name] = Chequeo{Status: string(c.Status), LatencyMS: c.LatencyMS}
		}
		status := http.StatusOK
		if s.Status != sistema.OK && s.Status != sistema.Degraded {
			status = http.StatusServiceUnavailable
			x.Header().Set("Retry-After", "1")
		}
		return x.respond(status, out)
	})
	need := admin
	if a.cfg.MetricsPublic {
		need = anyone
	}
	handle(a, operation{
		id: "metrics", method: http.MethodGet, path: "/api/sistema/metrics", tag: tagSistema,
		summary:     "Métricas en el formato de Prometheus",
		description: "Solo para administradores, o para cualquiera donde la configuración lo dice.",
		access:      need, quiet: true, unlimited: true,
		answer: "", example: "# HELP http_server_active_requests Requests being served.\n# TYPE http_server_active_requests gauge\nhttp_server_active_requests 1\n",
		media: "text/plain",
	}, func(_ context.Context, x *exchange, _ *nothing) error {
		a.metrics.ServeHTTP(x, x.r)
		return nil
	})
}

func exampleDashboard() Dashboard {
	return Dashboard{
		ServerID: "siglab-0", Timestamp: "2024-04-02T13:45:00Z", Total: 1, PorEstado: map[string]int64{"operativa": 1},
		PorTipo: map[string]int64{"PC": 1}, PorArea: map[string]int64{"Laboratorio 1": 1},
		Mantenimientos: &DashboardMant{Total: 1, PorTipo: map[string]int64{"preventivo": 1}, Meses: []DashboardMes{{Mes: "2024-04", Preventivo: 1}}},
		Ultimos:        []Mantenimiento{exampleMantenimiento()},
	}
}

func exampleSalud() Salud {
	return Salud{Status: "ok", ServerID: "siglab-0", Version: "1.0.0", Uptime: 3600, Checks: map[string]Chequeo{
		"mysql": {Status: "ok", LatencyMS: 0.8}, "mongodb": {Status: "ok", LatencyMS: 1.1}, "redis": {Status: "ok", LatencyMS: 0.3}}}
}
