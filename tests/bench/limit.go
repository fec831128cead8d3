package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
)

// pool is how many connections the limits open to each database: the service's default.
const pool = 10

// limit runs one of the bare programs. They do the work that is compared and nothing else: no sessions, no checks, no limits, no logs, no
// metrics, no headers but what a browser needs.
func limit(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "serve":
		return limitServe()
	case len(args) == 1 && args[0] == "start":
		return limitStart()
	case len(args) == 3 && args[0] == "import":
		return limitImport(args[1], args[2])
	}
	return errors.New("usage: bench limit serve | start | import FILE TABLE")
}

// What the bare programs are told by their environment.
const (
	envAddr     = "ADDR"
	envInternal = "INTERNAL"
	envPlain    = "PLAIN" // files of the bodies
	envGzip     = "GZIP"
	envRedis    = "REDIS_URL"
	envMySQL    = "MYSQL_DSN"
	envMongo    = "MONGO_URI"
)

const limitETag = `"00000000"`

// machine is a máquina as it is sent.
type machine struct {
	Codigo  string `json:"codigo_equipo"`
	Tipo    string `json:"tipo_equipo"`
	Estado  string `json:"estado_actual"`
	Area    string `json:"area"`
	Fecha   string `json:"fecha"`
	Usuario string `json:"usuario"`
}

// limitServe answers what the service answers, with the least that it takes.
func limitServe() error {
	plain, err := os.ReadFile(os.Getenv(envPlain))
	if err != nil {
		return err
	}
	zipped, err := os.ReadFile(os.Getenv(envGzip))
	if err != nil {
		return err
	}
	keys, err := openRedis()
	if err != nil {
		return err
	}
	db, err := openMySQL()
	if err != nil {
		return err
	}
	list := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("ETag", limitETag)
		body := plain
		if r.Header.Get("If-None-Match") == limitETag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = zipped
		}
		h.Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /memory", list)
	mux.HandleFunc("GET /listar", func(w http.ResponseWriter, r *http.Request) {
		if err := keys.Get(r.Context(), limitGeneration).Err(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		list(w, r)
	})
	mux.HandleFunc("GET /buscar", func(w http.ResponseWriter, r *http.Request) {
		b, err := keys.Get(r.Context(), limitMachine+r.FormValue("codigo")).Bytes()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	})
	mux.HandleFunc("POST /agregar", func(w http.ResponseWriter, r *http.Request) {
		var m machine
		err := json.NewDecoder(r.Body).Decode(&m)
		if err == nil {
			_, err = db.ExecContext(r.Context(), insertInto(limitTable, 1), m.row()...)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	go func() { _ = http.ListenAndServe(os.Getenv(envInternal), promhttp.Handler()) }()
	return http.ListenAndServe(os.Getenv(envAddr), mux)
}

// What the bare programs keep in the databases.
const (
	limitGeneration = "limite:generacion" // a text of 8 bytes
	limitMachine    = "limite:maquina:"   // and the code: the machine as JSON
	limitTable      = "limite"            // has the columns and indexes of maquinas
)

// insertInto is the INSERT of so many machines, as the service writes it.
func insertInto(table string, rows int) string {
	return "INSERT INTO " + table + " (clave, codigo, tipo, estado, area, fecha, usuario, version) VALUES " +
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?, 1), ", rows), ", ")
}

// row is what insertInto wants of a machine. The codes of the benchmarks need no folding but to small letters.
func (m machine) row() []any {
	return []any{strings.ToLower(m.Codigo), m.Codigo, m.Tipo, m.Estado, m.Area, m.Fecha, sql.NullString{String: m.Usuario, Valid: m.Usuario != ""}}
}

func openRedis() (*redis.Client, error) {
	o, err := redis.ParseURL(os.Getenv(envRedis))
	if err != nil {
		return nil, err
	}
	o.PoolSize = pool
	return redis.NewClient(o), nil
}

func openMySQL() (*sql.DB, error) { return openDSN(os.Getenv(envMySQL)) }

// openDSN opens a pool that writes values into its statements, as the service's does: one round trip for each.
func openDSN(dsn string) (*sql.DB, error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	c.InterpolateParams = true
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(pool)
	db.SetMaxIdleConns(pool)
	return db, nil
}

// limitStart opens the three connections that the service opens, and answers once they are there.
func limitStart() error {
	ctx := context.Background()
	l, err := net.Listen("tcp", os.Getenv(envAddr))
	if err != nil {
		return err
	}
	db, err := openMySQL()
	if err != nil {
		return err
	}
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	docs, err := mongo.Connect(mongooptions.Client().ApplyURI(os.Getenv(envMongo)))
	if err != nil {
		return err
	}
	if err := docs.Ping(ctx, nil); err != nil {
		return err
	}
	keys, err := openRedis()
	if err != nil {
		return err
	}
	if err := keys.Ping(ctx).Err(); err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// importBatch is how many machines one INSERT of the bare import has: what is fastest here, among powers of ten.
const importBatch = 1000

// limitImport writes the machines of a CSV file by INSERTs of many rows, and looks at nothing.
func limitImport(file, table string) error {
	db, err := openMySQL()
	if err != nil {
		return err
	}
	defer db.Close()
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // the names of the columns
	var rows []any
	write := func() error {
		if len(rows) == 0 {
			return nil
		}
		_, err := db.Exec(insertInto(table, len(rows)/7), rows...)
		rows = rows[:0]
		return err
	}
	for lines.Scan() {
		c := strings.Split(lines.Text(), ",")
		m := machine{c[0], c[1], c[2], c[3], c[4], c[5]}
		if rows = append(rows, m.row()...); len(rows) == 7*importBatch {
			if err := write(); err != nil {
				return err
			}
		}
	}
	return errors.Join(lines.Err(), write())
}
