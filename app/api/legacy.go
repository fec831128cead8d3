package api

// registerLegacy lets the same handlers answer where the older clients call them. Source: contract, the end of "Endpoints". There, the history of
// an unknown machine is empty, since the old page cannot show an error.
func (a *API) registerLegacy() {
	old := func(op operation, path string) operation {
		op.id += "-antiguo"
		op.path = path
		op.summary += " (dirección antigua)"
		op.deprecated = true
		return op
	}
	historial := old(historialOperation(), "/api/mantenimiento/listar/{codigo}")
	historial.description = "Una máquina desconocida responde 200 con la lista vacía."
	historial.errors = historial.errors[:1] // no 404
	handle(a, historial, a.historial(true))
	handleBody(a, old(agregarMantenimientoOperation(), "/api/mantenimiento/agregar"), a.agregarMantenimiento)
	handle(a, old(informeOperation(), "/api/mantenimiento/informe-general"), a.informe)
	handleBody(a, old(loginOperation(), "/api/login"), a.login)
	handleBody(a, old(registerOperation(), "/api/register"), a.register)
	handle(a, old(logoutOperation(), "/api/logout"), a.logout)
}
