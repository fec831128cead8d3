package main

// area is a place of the campus and what stands there.
type area struct {
	name, short   string
	pcs, printers int
	staff         int
	personal      bool // each computer has its user
}

var areas = []area{
	{"Laboratorio de Cómputo 1", "LC1", 48, 2, 6, false},
	{"Laboratorio de Cómputo 2", "LC2", 48, 2, 6, false},
	{"Laboratorio de Redes y Telecomunicaciones", "LRT", 38, 2, 5, false},
	{"Laboratorio de Electrónica", "LEL", 30, 2, 5, false},
	{"Laboratorio de Ingeniería de Software", "LIS", 40, 2, 5, false},
	{"Laboratorio de Diseño Gráfico", "LDG", 32, 4, 4, false},
	{"Biblioteca Central", "BIB", 34, 6, 8, false},
	{"Sala de Docentes", "SDO", 28, 4, 24, true},
	{"Decanato de Ingeniería", "DEC", 14, 4, 12, true},
	{"Secretaría Académica", "SEC", 18, 8, 16, true},
	{"Tesorería y Finanzas", "TES", 12, 6, 11, true},
	{"Centro de Idiomas", "CID", 14, 2, 5, false},
}

// firmNames holds the university's own workshop first.
var firmNames = []string{
	"Soporte Técnico Universitario",
	"Servicios Informáticos La Cumbre",
	"TecnoRed del Valle S.A.C.",
	"Impresoras & Suministros del Sur",
	"Redes y Sistemas Peñalba, S.L.",
	"Mantenimiento Integral Órbita",
}

var names = []string{
	"Adriana", "Agustín", "Beatriz", "Bruno", "Camila", "César", "Daniela", "Elías", "Estela", "Fabián", "Gabriela", "Hernán",
	"Inés", "Íñigo", "Jazmín", "Joaquín", "Julia", "Leandro", "Lorena", "Mateo", "Mónica", "Nicolás", "Noelia", "Octavio",
	"Patricia", "Rafael", "Rocío", "Saúl", "Teresa", "Tomás", "Valeria", "Víctor", "Ximena", "Zoe",
}

var surnames = []string{
	"Acuña", "Aguirre", "Almonte", "Barrios", "Bermúdez", "Cáceres", "Cárdenas", "Dávila", "Espinoza", "Farfán", "Figueroa", "Gálvez",
	"Herrera", "Ibáñez", "Juárez", "Ledesma", "Lozano", "Maldonado", "Muñoz", "Navarrete", "Núñez", "Olivares", "Ordóñez", "Paredes",
	"Quiñones", "Quiroga", "Rivas", "Saldaña", "Sepúlveda", "Tapia", "Urrutia", "Valdivia", "Yáñez", "Zamora",
}

var preventivePC = []string{
	"Limpieza interna con aire comprimido y cambio de pasta térmica; temperatura en reposo: {temp} °C.",
	"Limpieza de ventiladores y filtros. Temperatura antes {temp} °C, sin ruidos.",
	"Se actualizaron el sistema operativo y {programa}; reinicio sin errores.",
	"Revisión del disco: sin sectores dañados, {disco} GB, uso por debajo del 70 %.",
	"Se verificó la memoria de {ram} GB durante {horas} h sin fallos.",
	"Desfragmentación y borrado de archivos temporales, cuentas de alumnos restablecidas.",
	"Se clonó la imagen del semestre y se probó {programa}.",
	"Revisión de conexiones: se ajustó {parte} y se ordenó el cableado bajo la mesa.",
	"Copia de seguridad del perfil; se comprobó {programa}.",
	"Inventario físico: etiqueta legible, gabinete sin golpes, {parte} en buen estado.",
}

var preventivePrinter = []string{
	"Limpieza de rodillos y bandeja; contador en {paginas} páginas.",
	"Cambio de tóner y limpieza del cabezal. Página de prueba correcta.",
	"Actualización del firmware y revisión de la cola de impresión.",
	"Calibración de color; contador en {paginas} páginas.",
	"Aspirado de restos de papel, lubricación de guías y prueba a doble cara.",
	"Revisión de la conexión de red y de los permisos por área.",
}

var repairPC = []string{
	"No encendía: fuente de {watts} W dañada; se reemplazó y se probó {horas} h.",
	"Pantalla azul al iniciar; se cambió un módulo de memoria de {ram} GB.",
	"Disco con sectores dañados; se instaló uno de {disco} GB y se restauró la imagen.",
	"Usuario reporta \"no hay internet\": conector suelto, se cambió el cable de red.",
	"Se apagaba sola: ventilador atascado, {temp} °C en reposo después del cambio.",
	"Se dañó {parte}; se entregó uno nuevo, orden n.º {orden}.",
	"Programa malicioso detectado; equipo aislado, formateado y devuelto en {dias} días.",
	"El sistema no arrancaba tras un corte de luz; se reparó el arranque y se instaló {programa}.",
	"Puertos USB frontales sin respuesta; se cambió el panel.",
	"Batería de la placa agotada: fecha y hora se perdían en cada encendido.",
}

var repairPrinter = []string{
	"Atasco de papel frecuente; se cambió el rodillo de arrastre. Contador: {paginas}.",
	"Manchas verticales en la hoja; se reemplazó el tambor.",
	"No aparecía en la red; se fijó su dirección y se reinstaló el controlador.",
	"Fusor dañado a las {paginas} páginas; repuesto pedido con la orden n.º {orden}.",
	"La bandeja 2 no levantaba; resorte roto, cambiado en {horas} h.",
	"Error de tóner aun con cartucho nuevo; se limpiaron los contactos.",
}

var remarks = []string{
	"Queda operativa.",
	"Se recomienda cambiar {parte} el próximo semestre.",
	"Garantía vigente, orden n.º {orden}.",
	"El responsable del área firmó la conformidad.",
	"Próxima revisión en {dias} semanas.",
	"Se avisó a la coordinación; falta repuesto.",
	"Trabajo terminado en {horas} h.",
	"Observado por el docente de turno: \"funciona bien\".",
}
