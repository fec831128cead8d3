// Package mongo keeps the records of maintenance in MongoDB. It stays inside what MongoDB and FerretDB both do right: inserts,
// finds by keyset, counts, deletes, and groups with one sum; no transactions and no expressions.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.opentelemetry.io/otel/trace"

	"siglab/app/errs"
)

// Config says where MongoDB is and how it is used.
type Config struct {
	// URI, when it is not empty, takes the place of Host and Port, for replica sets and TLS. Its options hold, but for the pool's
	// size and the timeouts. The database is always Database.
	URI string

	Host     string
	Port     int
	Database string

	// User and Password are used when the URI has no user. Accounts of the database "admin" are meant, where MongoDB's own image
	// makes them; a URI may name another authSource.
	User, Password string

	// PoolSize is the most connections to one server, 10 when it is 0.
	PoolSize int

	// Timeout bounds one call, from choosing a server to the last byte of its answer; 2 s when it is 0.
	Timeout time.Duration
}

// Hooks let others see what is done. Either may be nil.
type Hooks struct {
	// Tracer gets a span for each command, without anything of the documents.
	Tracer trace.Tracer

	// Observe is told of each command: its name as MongoDB writes it, how it ended, and how long it took. A call that found no
	// server to send its command to is told of too.
	Observe func(operation string, err error, d time.Duration)
}

// The collections.
const (
	mantenimientosName = "mantenimientos"
	keysName           = "idempotencia"
)

// DB is one database of a MongoDB deployment, with its pool of connections.
type DB struct {
	client  *driver.Client
	records *driver.Collection
	keys    *driver.Collection
	timeout time.Duration
	size    int
	pool    *pool
	observe func(string, error, time.Duration)
}

// idle is how long a connection may be unused: less than what the proxies and firewalls in between are patient for.
const idle = 4 * time.Minute

// Open prepares the pool and waits for no server. An error means that the configuration cannot be right.
func Open(cfg Config, h Hooks) (*DB, error) {
	if cfg.PoolSize == 0 {
		cfg.PoolSize = 10
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Database == "" {
		return nil, errors.New("mongo: no database is named")
	}
	o := options.Client()
	if cfg.URI != "" {
		o.ApplyURI(cfg.URI)
	} else {
		if cfg.Host == "" || cfg.Port < 1 || cfg.Port > 65535 {
			return nil, errors.New("mongo: neither a URI nor a host and a port are given")
		}
		// Without a direct connection the driver follows the names that a member of a replica set knows the others by; a
		// set is named by its URI.
		o.SetHosts([]string{net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))}).SetDirect(true)
	}
	if o.Auth == nil && cfg.User != "" {
		o.SetAuth(options.Credential{Username: cfg.User, Password: cfg.Password, PasswordSet: true, AuthSource: "admin"})
	}
	db := &DB{timeout: cfg.Timeout, size: cfg.PoolSize, pool: &pool{}, observe: h.Observe}
	if db.observe == nil {
		db.observe = func(string, error, time.Duration) {}
	}
	m := &monitor{tracer: h.Tracer, observe: db.observe}
	o.SetAppName("siglab").SetMaxPoolSize(uint64(cfg.PoolSize)).SetMaxConnIdleTime(idle).
		SetConnectTimeout(cfg.Timeout).SetServerSelectionTimeout(cfg.Timeout).SetTimeout(cfg.Timeout).
		SetReadPreference(readpref.Primary()). // a secondary may not have what was answered a moment ago
		SetMonitor(m.commands()).SetPoolMonitor(db.pool.monitor())
	client, err := driver.Connect(o)
	if err != nil {
		if cfg.URI != "" {
			return nil, errors.New("mongo: the URI cannot be used; see MongoDB's connection string format") // the driver's error may quote its password
		}
		return nil, fmt.Errorf("mongo: %w", err)
	}
	db.client = client
	db.records = client.Database(cfg.Database).Collection(mantenimientosName)
	db.keys = client.Database(cfg.Database).Collection(keysName)
	return db, nil
}

// Ping asks the server whether it works and takes our credentials, past any guard and within Timeout.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	// The plain ping needs no rights: a server that asks for credentials and was given none would still answer it.
	err := db.records.FindOne(ctx, bson.D{{Key: "_id", Value: bson.NilObjectID}}).Err()
	if errors.Is(err, driver.ErrNoDocuments) {
		return nil
	}
	return err
}

// Close ends every connection. Calls in progress may finish until ctx ends.
func (db *DB) Close(ctx context.Context) error { return db.client.Disconnect(ctx) }

// Pool returns the connections that are idle and in use, the most there may be to one server, and how long all callers together
// have waited for one since the start.
func (db *DB) Pool() (idle, used, max int, wait time.Duration) {
	idle, used, wait = db.pool.stats()
	return idle, used, db.size, wait
}

// Server error codes. Source: MongoDB's error_codes.yml.
const (
	codeBadValue             = 2
	codeFailedToParse        = 9
	codeUnauthorized         = 13
	codeTypeMismatch         = 14
	codeAuthenticationFailed = 18
	codeCommandNotFound      = 59
	codeIndexOptionsConflict = 85
	codeNotImplemented       = 238
	codeAtlasError           = 8000
)

// Outage says whether err means that MongoDB does not work, as opposed to an answer of it. It counts as out while it refuses the
// credentials, as when they are being replaced.
func Outage(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, driver.ErrNoDocuments) || driver.IsDuplicateKeyError(err) {
		return false
	}
	if _, ours := errors.AsType[*errs.Error](err); ours {
		return false
	}
	if _, ours := errors.AsType[driver.MarshalError](err); ours {
		return false
	}
	if e, ok := errors.AsType[driver.ServerError](err); ok {
		// What is wrong with the command itself is our fault; any other answer says that the server cannot do its work now.
		for _, code := range []int{codeBadValue, codeFailedToParse, codeTypeMismatch, codeCommandNotFound, codeNotImplemented} {
			if e.HasErrorCode(code) {
				return false
			}
		}
	}
	return true
}

// Refused says whether err means that MongoDB does not accept the credentials, or that they do not allow what the service needs.
func Refused(err error) bool {
	e, ok := errors.AsType[driver.ServerError](err)
	return ok && (e.HasErrorCode(codeAuthenticationFailed) || e.HasErrorCode(codeUnauthorized) || e.HasErrorCode(codeAtlasError))
}
