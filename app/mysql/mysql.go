// Package mysql opens the MySQL or MariaDB database that keeps machines, accounts and revocations, brings its schema up to date, and
// tells an outage from an answer.
package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/XSAM/otelsql"
	mysqldriver "github.com/go-sql-driver/mysql"
	"go.opentelemetry.io/otel/attribute"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"siglab/app/sqlstore"
)

// Config says which database to open, and how.
type Config struct {
	Host           string
	Port           int // 0 is 3306
	User, Password string
	Database       string
	TLS            string        // "", "true", "skip-verify" or "preferred"
	PoolSize       int           // most connections; 0 is 10
	Timeout        time.Duration // of connecting, and of each wait for the server; 0 is 2 s

	Log     *zap.Logger          // takes the driver's complaints, at debug; nil drops them
	Tracer  trace.TracerProvider // nil makes no spans, and then they cost nothing
	Observe sqlstore.Observe     // told of each statement; nil is nobody
}

func (cfg Config) withDefaults() Config {
	if cfg.Port == 0 {
		cfg.Port = 3306
	}
	if cfg.PoolSize == 0 {
		cfg.PoolSize = 10
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return cfg
}

// connectionLife is how long a connection is used at most, so that the pool moves to a new primary or a changed address by itself.
const connectionLife = 5 * time.Minute

// driverConfig is what serving and migrating have in common.
func (cfg Config) driverConfig() (*mysqldriver.Config, error) {
	switch cfg.TLS {
	case "", "true", "skip-verify", "preferred":
	default:
		return nil, fmt.Errorf("mysql: TLS %q is none of true, skip-verify, preferred", cfg.TLS)
	}
	if cfg.Host == "" || cfg.User == "" || cfg.Database == "" {
		return nil, errors.New("mysql: host, user and database must be given")
	}
	d := mysqldriver.NewConfig()
	d.Net, d.Addr = "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	d.User, d.Passwd, d.DBName = cfg.User, cfg.Password, cfg.Database
	d.TLSConfig = cfg.TLS
	d.Timeout, d.ReadTimeout, d.WriteTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout
	d.ClientFoundRows = true // an UPDATE that changes nothing found its row all the same
	// One round trip a statement instead of three. The driver escapes by the connection's own character set and mode.
	d.InterpolateParams = true
	d.Logger = driverLog{cfg.Log}
	d.Params = map[string]string{
		// Whatever the server's defaults are: nothing is cut off silently, and the clock does not jump twice a year.
		"sql_mode":  "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
		"time_zone": "'+00:00'",
		// A caller that gave up must not leave its statement waiting for a lock, with locks of its own.
		"innodb_lock_wait_timeout": strconv.Itoa(max(1, int(cfg.Timeout/time.Second)-1)),
	}
	// utf8mb4 with the same collation on both servers; the driver's own default is known to one of them only.
	return d, d.Apply(mysqldriver.Charset("utf8mb4", "utf8mb4_bin"))
}

// setup runs on each new connection. Repeatable reads would lock the gaps that other codes fall into, and nothing here reads twice.
const setup = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

// Open makes the pool. It does not connect: a database that is down when the service starts is found when it is used.
func Open(cfg Config) (*sql.DB, error) {
	cfg = cfg.withDefaults()
	d, err := cfg.driverConfig()
	if err != nil {
		return nil, err
	}
	connector, err := mysqldriver.NewConnector(d)
	if err != nil {
		return nil, fmt.Errorf("mysql: %w", err)
	}
	db := openTraced(sqlstore.Connector(connecting{connector}, Dialect(), cfg.Observe, setup), cfg)
	db.SetMaxOpenConns(cfg.PoolSize)
	db.SetMaxIdleConns(cfg.PoolSize) // closing and opening costs more than what an idle one holds
	db.SetConnMaxLifetime(connectionLife)
	return db, nil
}

// openTraced adds spans, when somebody takes them. They hold statements, whose values are question marks still, and of an error
// only its number: its text may quote a value.
func openTraced(c driver.Connector, cfg Config) *sql.DB {
	if cfg.Tracer == nil {
		return sql.OpenDB(c)
	}
	return otelsql.OpenDB(c,
		otelsql.WithTracerProvider(cfg.Tracer),
		otelsql.WithMeterProvider(metricnoop.NewMeterProvider()),
		otelsql.WithAttributes(
			attribute.String("db.system.name", "mysql"),
			attribute.String("db.namespace", cfg.Database),
			attribute.String("server.address", cfg.Host),
			attribute.Int("server.port", cfg.Port),
		),
		otelsql.WithSpanNameFormatter(spanName),
		otelsql.WithSpanErrorAttributesGetter(errorAttributes),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			DisableErrSkip:       true,
			OmitConnResetSession: true,
			OmitRows:             true,
			RecordError: func(err error) bool {
				_, answered := errors.AsType[*mysqldriver.MySQLError](err)
				return !answered
			},
			// What runs in the background, for nobody's request, would be traces of one span each.
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return trace.SpanContextFromContext(ctx).IsValid()
			},
		}),
	)
}

func spanName(_ context.Context, method otelsql.Method, query string) string {
	switch method {
	case otelsql.MethodConnBeginTx:
		return "BEGIN"
	case otelsql.MethodTxCommit:
		return "COMMIT"
	case otelsql.MethodTxRollback:
		return "ROLLBACK"
	}
	if query == "" {
		return string(method)
	}
	return sqlstore.Verb(query)
}

func errorAttributes(err error) []attribute.KeyValue {
	if e, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		code := strconv.Itoa(int(e.Number))
		return []attribute.KeyValue{attribute.String("db.response.status_code", code), attribute.String("error.type", code)}
	}
	return nil
}

type driverLog struct{ log *zap.Logger }

func (l driverLog) Print(v ...any) {
	l.log.Debug("mysql driver", zap.String("complaint", fmt.Sprint(v...)))
}

// Dialect is MySQL's, and MariaDB's.
func Dialect() sqlstore.Dialect {
	return sqlstore.Dialect{
		ForUpdate:  " FOR UPDATE",
		SkipLocked: " FOR UPDATE SKIP LOCKED",
		NowMS:      "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
		Duplicate:  func(err error) bool { return number(err) == 1062 },
		// 1213 is a deadlock; 1020 is MariaDB's for a row that changed since the snapshot.
		Contended: func(err error) bool { n := number(err); return n == 1213 || n == 1020 },
		Locked:    func(err error) bool { return number(err) == 1205 },
		Lost: func(err error) bool {
			return errors.Is(err, mysqldriver.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || number(err) == 1053 || number(err) == 1927
		},
	}
}

// number returns the server's number for an error, 0 for all else.
func number(err error) uint16 {
	if e, ok := errors.AsType[*mysqldriver.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// errConnect marks an error of making a connection. What speaks there may not even be a database: no list names all its errors.
type errConnect struct{ error }

func (e errConnect) Unwrap() error { return e.error }

// connecting marks what goes wrong before there is a connection.
type connecting struct{ driver.Connector }

func (c connecting) Connect(ctx context.Context) (conn driver.Conn, err error) {
	// The driver does not survive every greeting, and database/sql also connects in a goroutine of its own, where a panic would
	// be the end of the process.
	defer func() {
		if p := recover(); p != nil {
			conn, err = nil, errConnect{fmt.Errorf("mysql: the driver panicked: %v", p)}
		}
	}()
	conn, err = c.Connector.Connect(ctx)
	if err != nil && ctx.Err() == nil {
		err = errConnect{err}
	}
	return conn, err
}

// Outage says that an error is no answer to a statement but means that the database does not work, for this service at least.
// Source of the numbers: the servers' error references.
func Outage(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[errConnect](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, broken := range []error{
		driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded,
		mysqldriver.ErrInvalidConn, mysqldriver.ErrMalformPkt, mysqldriver.ErrPktSync, mysqldriver.ErrPktSyncMul, mysqldriver.ErrBusyBuffer,
	} {
		if errors.Is(err, broken) {
			return true
		}
	}
	switch number(err) {
	case 1040, 1203, 1226, // too many connections: of all, of this account, in this hour
		1053, 1077, 1078, 1079, 1080, // shutting down
		1152, 1158, 1159, 1160, 1161, 1184, // the connection broke
		1317, 1927, 1969, 3024, 4031, // the statement or the connection was killed, or took too long
		1290, 1792, 1836, 3032, // read only, as a replica and a server in maintenance are
		1021, 1030, 1037, 1038, 1041, 1114, 1135, 1206, // out of space, memory, threads or locks
		1047, 1129, 1835, 1156, // not ready (a cluster's node too), host blocked, malformed packets
		1142, 1143, 1146, 1049: // a database that was made anew and has no tables or grants yet
		return true
	}
	return Refused(err)
}

// Refused says that the server is there and does not let this account in: starting again will not help.
func Refused(err error) bool {
	switch number(err) {
	case 1044, 1045, 1130, 1251, 1524, 1698, 1820, 1862, 3118, 3955, 4151:
		return true
	}
	for _, refusal := range []error{mysqldriver.ErrNativePassword, mysqldriver.ErrOldPassword, mysqldriver.ErrCleartextPassword, mysqldriver.ErrUnknownPlugin, mysqldriver.ErrNoTLS} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
