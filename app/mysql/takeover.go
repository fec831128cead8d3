package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"

	"siglab/app/clave"
	"siglab/app/fecha"
	"siglab/app/maquinas"
	"siglab/app/texto"
	"siglab/app/usuarios"
)

// takeover is the first migration: it makes the tables usuarios and maquinas or takes over the old backend's.
//
// MySQL commits each change of a schema on its own, and the old tables may have any types, collations, constraints and further
// columns. So they are not altered: new tables are filled beside them and then all names are exchanged by one RENAME, which
// is atomic. The old tables stay, as usuarios_anterior and maquinas_anterior. Killed before the RENAME, the next run begins
// anew; killed after it, the next run finds new tables and only checks them.
type takeover struct {
	db  *sql.DB
	log *zap.Logger
}

// suffixes of the names that tables have beside their own.
const (
	filling  = "_siglab_nueva" // while it is filled
	original = "_anterior"     // the old backend's, afterwards
)

// maxKey is the width of a key's column in bytes, maxName that of a code, an area or a user name in characters. They are wider than
// today's rules, for the old data, and as wide as an index of both together allows.
const (
	maxKey  = 1024
	maxName = 191
	maxText = 255
)

// table is one of the two tables: as it will be, and as the old backend has it.
type table struct {
	name   string
	create string   // its definition, for a name
	insert string   // its columns, as a row's values fill them
	has    []string // the old table's columns
	// old reads these as text, for a name, whatever types they have: ENUM, DATE, DATETIME, BINARY, numbers.
	old     string
	convert func(rows [][]sql.NullString) (list []row, problems []string)
}

// tables returns both, in the order in which they are made.
func tables() []table {
	return []table{{
		name: "usuarios",
		create: `
			CREATE TABLE %s (
				id              BIGINT          NOT NULL AUTO_INCREMENT,
				clave           VARBINARY(1024) NOT NULL,
				nombre_completo VARCHAR(255)    NOT NULL,
				username        VARCHAR(191)    NOT NULL,
				password        VARCHAR(255)    NOT NULL,
				rol             VARCHAR(20)     NOT NULL,
				PRIMARY KEY (id),
				UNIQUE KEY usuarios_clave (clave)
			) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
		insert: "id, clave, nombre_completo, username, password, rol",
		has:    []string{"id", "nombre_completo", "username", "password", "rol"},
		old: `
			SELECT CAST(id AS CHAR CHARACTER SET utf8mb4), CAST(nombre_completo AS CHAR CHARACTER SET utf8mb4),
				CAST(username AS CHAR CHARACTER SET utf8mb4), CAST(password AS CHAR CHARACTER SET utf8mb4),
				CAST(rol AS CHAR CHARACTER SET utf8mb4)
			FROM %s`,
		convert: accounts,
	}, {
		name: "maquinas",
		create: `
			CREATE TABLE %s (
				id      BIGINT          NOT NULL AUTO_INCREMENT,
				clave   VARBINARY(1024) NOT NULL,
				codigo  VARCHAR(191)    NOT NULL,
				tipo    VARCHAR(20)     NOT NULL,
				estado  VARCHAR(40)     NOT NULL,
				area    VARCHAR(191)    NOT NULL,
				fecha   CHAR(10)        NOT NULL,
				usuario VARCHAR(255)    NULL,
				version BIGINT          NOT NULL DEFAULT 1,
				PRIMARY KEY (id),
				UNIQUE KEY maquinas_clave (clave),
				KEY maquinas_tipo (tipo, clave),
				KEY maquinas_estado (estado, clave),
				KEY maquinas_area (area, clave),
				KEY maquinas_fecha (fecha, clave)
			) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
		insert: "clave, codigo, tipo, estado, area, fecha, usuario",
		has:    []string{"codigo", "tipo", "estado", "area", "fecha", "usuario"},
		old: `
			SELECT CAST(codigo AS CHAR CHARACTER SET utf8mb4), CAST(tipo AS CHAR CHARACTER SET utf8mb4),
				CAST(estado AS CHAR CHARACTER SET utf8mb4), CAST(area AS CHAR CHARACTER SET utf8mb4),
				CAST(fecha AS CHAR CHARACTER SET utf8mb4), CAST(usuario AS CHAR CHARACTER SET utf8mb4)
			FROM %s`,
		convert: machines,
	}}
}

// DataError lists what in the old tables cannot be taken over. Nothing was changed.
type DataError struct{ Problems []string }

func (e *DataError) Error() string {
	return fmt.Sprintf("the old tables cannot be taken over, and nothing was changed; mend these %d things and run it again:\n  %s",
		len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// row is one row as the new table has it.
type row struct {
	key    string // its identity, before it has an id
	values []any
}

// step is what is to be done with one table; nothing when all is false.
type step struct {
	table
	make  bool  // there is none: make it
	swap  bool  // there is an old one: fill a new one and exchange them
	rows  []row // for swap: the old one's, as they will be
	check bool  // the exchange was made, but not yet checked
}

// plan looks at the tables, changing nothing, and returns what is to be done or a *DataError.
func (t takeover) plan(ctx context.Context) ([]step, error) {
	var steps []step
	var problems []string
	for _, table := range tables() {
		have, kind, err := t.columnsOf(ctx, table.name)
		if err != nil {
			return nil, err
		}
		_, saved, err := t.columnsOf(ctx, table.name+original)
		if err != nil {
			return nil, err
		}
		s := step{table: table}
		switch {
		case kind == "":
			s.make = true
		case kind != "BASE TABLE":
			problems = append(problems, fmt.Sprintf("%s is a %s and not a table", table.name, strings.ToLower(kind)))
		case slices.Contains(have, "clave"):
			s.check = saved != ""
		case saved != "":
			problems = append(problems, fmt.Sprintf("%s is the old backend's and so is %s%s: one of them must go", table.name, table.name, original))
		default:
			missing := slices.DeleteFunc(slices.Clone(table.has), func(c string) bool { return slices.Contains(have, c) })
			if len(missing) > 0 {
				problems = append(problems, fmt.Sprintf("table %s lacks the columns %s", table.name, strings.Join(missing, ", ")))
				break
			}
			var found []string
			s.swap = true
			if s.rows, found, err = t.readOld(ctx, table, table.name); err != nil {
				return nil, err
			}
			problems = append(problems, found...)
		}
		steps = append(steps, s)
	}
	if len(problems) > 0 {
		return nil, &DataError{problems}
	}
	return steps, nil
}

// run is the migration. What it must not lose is checked after the exchange, not only before: the old backend may still be writing.
func (t takeover) run(ctx context.Context, _ *sql.DB) error {
	steps, err := t.plan(ctx)
	if err != nil {
		return err
	}
	var names []string
	for i, s := range steps {
		switch {
		case s.make:
			if err := t.exec(ctx, fmt.Sprintf(s.create, s.name)); err != nil {
				return err
			}
		case s.swap:
			if err := t.fill(ctx, s); err != nil {
				return err
			}
			names = append(names, fmt.Sprintf("%[1]s TO %[1]s%[2]s, %[1]s%[3]s TO %[1]s", s.name, original, filling))
			steps[i].check = true
		}
	}
	if len(names) > 0 {
		if err := t.exec(ctx, "RENAME TABLE "+strings.Join(names, ", ")); err != nil {
			return err
		}
	}
	return t.check(ctx, steps)
}

func (t takeover) exec(ctx context.Context, statement string) error {
	_, err := t.db.ExecContext(ctx, statement)
	return err
}

// fill makes the new table beside the old one, anew if a run before was killed.
func (t takeover) fill(ctx context.Context, s step) error {
	if err := t.exec(ctx, "DROP TABLE IF EXISTS "+s.name+filling); err != nil {
		return err
	}
	if err := t.exec(ctx, fmt.Sprintf(s.create, s.name+filling)); err != nil {
		return err
	}
	for batch := range slices.Chunk(s.rows, 500) {
		var args []any
		for _, r := range batch {
			args = append(args, r.values...)
		}
		one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(batch[0].values)), ",") + ")"
		_, err := t.db.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES ", s.name+filling, s.insert)+
			one+strings.Repeat(","+one, len(batch)-1), args...)
		if err != nil {
			return fmt.Errorf("filling %s: %w", s.name+filling, err)
		}
	}
	t.log.Info("an old table was copied", zap.String("table", s.name), zap.Int("rows", len(s.rows)))
	return nil
}

// check compares the new tables with the old ones, whose names nobody writes to any more. When the old backend changed something
// after it was read, the exchange is undone: better to stop than to lose a write.
func (t takeover) check(ctx context.Context, steps []step) error {
	var undo, late []string
	for _, s := range steps {
		if !s.check {
			continue
		}
		undo = append(undo, fmt.Sprintf("%[1]s TO %[1]s%[3]s, %[1]s%[2]s TO %[1]s", s.name, original, filling))
		old, problems, err := t.readOld(ctx, s.table, s.name+original)
		if err != nil {
			return err
		}
		now, err := t.readNew(ctx, s.table)
		if err != nil {
			return err
		}
		if len(problems) > 0 || !slices.EqualFunc(old, now, func(a, b row) bool { return slices.Equal(a.values, b.values) }) {
			late = append(late, s.name)
			continue
		}
		t.log.Info("an old table was taken over; it is kept under another name and may be dropped",
			zap.String("table", s.name), zap.Int("rows", len(now)), zap.String("kept_as", s.name+original))
	}
	if len(late) == 0 {
		return nil
	}
	if err := t.exec(ctx, "RENAME TABLE "+strings.Join(undo, ", ")); err != nil {
		return err
	}
	return fmt.Errorf("%s changed while it was taken over, and everything is as it was: stop the old backend and run it again", strings.Join(late, " and "))
}

// columnsOf returns the names of a table's columns and the kind of table, "" when there is none.
func (t takeover) columnsOf(ctx context.Context, table string) (names []string, kind string, err error) {
	rows, err := t.db.QueryContext(ctx, `
		SELECT t.table_type, LOWER(c.column_name)
		FROM information_schema.tables AS t
		JOIN information_schema.columns AS c ON c.table_schema = t.table_schema AND c.table_name = t.table_name
		WHERE t.table_schema = DATABASE() AND t.table_name = ?`, table)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&kind, &name); err != nil {
			return nil, "", err
		}
		names = append(names, name)
	}
	return names, kind, rows.Err()
}

// readOld returns the rows of an old table, under either of its names, as the new one will have them, in the order of their keys;
// and what is wrong with them.
func (t takeover) readOld(ctx context.Context, of table, name string) (list []row, problems []string, err error) {
	rows, err := t.texts(ctx, fmt.Sprintf(of.old, name), len(of.has))
	if err != nil {
		return nil, nil, err
	}
	list, problems = of.convert(rows)
	return list, problems, nil
}

// readNew returns the rows of a new table in the order of their keys.
func (t takeover) readNew(ctx context.Context, of table) ([]row, error) {
	columns := strings.Split(of.insert, ", ")
	rows, err := t.texts(ctx, fmt.Sprintf("SELECT %s FROM %s", of.insert, of.name), len(columns))
	if err != nil {
		return nil, err
	}
	k := slices.Index(columns, "clave")
	var list []row
	for _, r := range rows {
		n := row{key: r[k].String}
		for i, v := range r {
			switch {
			case !v.Valid:
				n.values = append(n.values, nil)
			case columns[i] == "id":
				id, err := strconv.ParseInt(v.String, 10, 64)
				if err != nil {
					return nil, err
				}
				n.values = append(n.values, id)
			default:
				n.values = append(n.values, v.String)
			}
		}
		list = append(list, n)
	}
	slices.SortFunc(list, compareRows)
	return list, nil
}

func compareRows(a, b row) int { return cmp.Compare(a.key, b.key) }

func (t takeover) texts(ctx context.Context, query string, columns int) ([][]sql.NullString, error) {
	rows, err := t.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list [][]sql.NullString
	for rows.Next() {
		values := make([]sql.NullString, columns)
		targets := make([]any, columns)
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		list = append(list, values)
	}
	return list, rows.Err()
}

// machines makes the new rows of old machines and lists what is wrong. Codes stay as they are, even those that today's rules
// refuse.
func machines(rows [][]sql.NullString) (list []row, problems []string) {
	same := map[string][]string{}
	for _, r := range rows {
		codigo := r[0].String
		var wrong []string
		tipo, ok := maquinas.ParseTipo(r[1].String)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("tipo %s is unknown", shown(r[1])))
		}
		estado, ok := maquinas.ParseEstado(r[2].String)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("estado %s is unknown", shown(r[2])))
		}
		area := texto.Clean(r[3].String)
		day, err := parseDay(r[4].String)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("fecha %s is not a day", shown(r[4])))
		}
		var usuario any
		if u := texto.Clean(r[5].String); u != "" {
			usuario = u
		}
		k := clave.Of(codigo)
		if codigo == "" {
			wrong = append(wrong, "the code is empty")
		}
		wrong = append(wrong, tooLong("codigo", codigo, maxName)...)
		wrong = append(wrong, tooLong("area", area, maxName)...)
		wrong = append(wrong, tooLong("usuario", r[5].String, maxText)...)
		if len(k) > maxKey {
			wrong = append(wrong, "the code is too long")
		}
		if len(wrong) > 0 {
			problems = append(problems, fmt.Sprintf("machine %q: %s", codigo, strings.Join(wrong, ", ")))
		}
		same[k] = append(same[k], codigo)
		list = append(list, row{key: k, values: []any{k, codigo, string(tipo), string(estado), area, string(day), usuario}})
	}
	problems = append(problems, doubles("machines", same)...)
	slices.SortFunc(list, compareRows)
	return list, problems
}

// accounts makes the new rows of old accounts and lists what is wrong. IDs are kept when they are numbers, passwords always.
func accounts(rows [][]sql.NullString) (list []row, problems []string) {
	same := map[string][]string{}
	numbered := true
	ids := map[int64]bool{}
	for _, r := range rows {
		id, err := strconv.ParseInt(r[0].String, 10, 64)
		if err != nil || id <= 0 || ids[id] {
			numbered = false
		}
		ids[id] = true
	}
	for _, r := range rows {
		username := texto.Clean(r[2].String)
		nombre := cmp.Or(texto.Clean(r[1].String), username)
		var wrong []string
		var rol usuarios.Rol
		switch clave.Of(strings.TrimSpace(r[4].String)) {
		case "admin", "administrador":
			rol = usuarios.Admin
		case "usuario", "":
			rol = usuarios.Comun
		default:
			wrong = append(wrong, fmt.Sprintf("rol %s is unknown", shown(r[4])))
		}
		if username == "" {
			wrong = append(wrong, "the user name is empty")
		}
		wrong = append(wrong, tooLong("username", username, maxName)...)
		wrong = append(wrong, tooLong("nombre_completo", nombre, maxText)...)
		wrong = append(wrong, tooLong("password", r[3].String, maxText)...)
		k := clave.Of(username)
		if len(k) > maxKey {
			wrong = append(wrong, "the user name is too long")
		}
		if len(wrong) > 0 {
			problems = append(problems, fmt.Sprintf("user %q: %s", r[2].String, strings.Join(wrong, ", ")))
		}
		same[k] = append(same[k], r[2].String)
		id, _ := strconv.ParseInt(r[0].String, 10, 64) // checked above
		list = append(list, row{key: k, values: []any{id, k, nombre, username, r[3].String, string(rol)}})
	}
	problems = append(problems, doubles("users", same)...)
	slices.SortFunc(list, compareRows)
	if !numbered {
		for i := range list {
			list[i].values[0] = int64(i + 1)
		}
	}
	return list, problems
}

// parseDay accepts a day, and a day with a time after it, as DATETIME columns and ISO 8601 write it.
func parseDay(s string) (fecha.Fecha, error) {
	s = strings.TrimSpace(s)
	if len(s) > 10 && (s[10] == ' ' || s[10] == 'T') {
		s = s[:10]
	}
	return fecha.Parse(s)
}

func shown(s sql.NullString) string {
	if !s.Valid {
		return "NULL"
	}
	return strconv.Quote(s.String)
}

func tooLong(field, value string, most int) []string {
	if utf8.RuneCountInString(value) > most {
		return []string{fmt.Sprintf("%s has more than %d characters", field, most)}
	}
	return nil
}

// doubles lists the names that are one name today.
func doubles(what string, same map[string][]string) (problems []string) {
	for _, names := range same {
		if len(names) > 1 {
			slices.Sort(names)
			problems = append(problems, fmt.Sprintf("%s %q differ only in case", what, names))
		}
	}
	slices.Sort(problems)
	return problems
}
