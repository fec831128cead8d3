package app

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"

	"siglab/app/usuarios"
)

// Config is everything that can be configured, by environment variables of these names. A Secret NAME may also be given as
// NAME_FILE, the path of a file that holds it.
type Config struct {
	// Host and Port are where the API listens.
	Host string `envconfig:"HOST" default:"0.0.0.0"`
	Port int    `envconfig:"PORT" default:"8000"`
	// MetricsPort serves /metrics, /livez, /startupz and /debug/pprof/, on Host too. It is for the cluster's inside.
	MetricsPort int `envconfig:"METRICS_PORT" default:"9090"`
	// ServerID names this instance in answers, logs and the dashboard. Empty is the host's name.
	ServerID string `envconfig:"SERVER_ID"`
	// Workers is GOMAXPROCS. 0 takes what the cgroup allows.
	Workers int `envconfig:"WORKERS"`
	// MaxConnections is the ceiling of requests in flight; the adaptive limit works below it.
	MaxConnections int `envconfig:"MAX_CONNECTIONS" default:"1000"`
	// Timeout bounds a request, KeepAlive an idle connection; in seconds.
	Timeout   Seconds `envconfig:"TIMEOUT" default:"30"`
	KeepAlive Seconds `envconfig:"KEEP_ALIVE" default:"120"`
	// DrainDelay is how long readiness says 503 before the listener closes, as a Go duration.
	DrainDelay time.Duration `envconfig:"DRAIN_DELAY" default:"5s"`

	// DataDir chooses the embedded mode: SQLite in this folder, and nothing else to install. Then no variable below that names
	// a server may be set.
	DataDir string `envconfig:"DATA_DIR"`

	// The machines, the accounts and the sessions that were ended.
	MySQLHost     string `envconfig:"MYSQL_HOST"`
	MySQLPort     int    `envconfig:"MYSQL_PORT" default:"3306"`
	MySQLUser     string `envconfig:"MYSQL_USER"`
	MySQLPassword Secret `envconfig:"MYSQL_PASSWORD"`
	MySQLDatabase string `envconfig:"MYSQL_DATABASE"`
	// MySQLMigrateUser and its password are for `siglab migrate`, when the serving account may not change tables.
	MySQLMigrateUser     string `envconfig:"MYSQL_MIGRATE_USER"`
	MySQLMigratePassword Secret `envconfig:"MYSQL_MIGRATE_PASSWORD"`
	// MySQLTLS is empty, true, skip-verify or preferred.
	MySQLTLS      string        `envconfig:"MYSQL_TLS"`
	MySQLPoolSize int           `envconfig:"MYSQL_POOL_SIZE" default:"10"`
	MySQLTimeout  time.Duration `envconfig:"MYSQL_TIMEOUT" default:"2s"`

	// The records of maintenance. MongoURI overrides host, port, user and password.
	MongoHost     string        `envconfig:"MONGO_HOST"`
	MongoPort     int           `envconfig:"MONGO_PORT" default:"27017"`
	MongoDatabase string        `envconfig:"MONGO_DATABASE" default:"mantenimientos"`
	MongoUser     string        `envconfig:"MONGO_USER"`
	MongoPassword Secret        `envconfig:"MONGO_PASSWORD"`
	MongoURI      Secret        `envconfig:"MONGO_URI"`
	MongoPoolSize int           `envconfig:"MONGO_POOL_SIZE" default:"10"`
	MongoTimeout  time.Duration `envconfig:"MONGO_TIMEOUT" default:"2s"`

	// The cache, the active sessions and the login limits. RedisURL overrides host, port and password, and reaches Sentinel and
	// Cluster.
	RedisHost     string        `envconfig:"REDIS_HOST"`
	RedisPort     int           `envconfig:"REDIS_PORT" default:"6379"`
	RedisPassword Secret        `envconfig:"REDIS_PASSWORD"`
	RedisURL      Secret        `envconfig:"REDIS_URL"`
	RedisPoolSize int           `envconfig:"REDIS_POOL_SIZE" default:"10"`
	RedisTimeout  time.Duration `envconfig:"REDIS_TIMEOUT" default:"250ms"`
	// RedisTTL is how long a cached answer lives, in seconds.
	RedisTTL Seconds `envconfig:"REDIS_TTL" default:"60"`

	// JWTKeys sign the sessions: kid:base64,kid:base64, each 32 bytes or more. The first signs, all verify.
	JWTKeys Secret `envconfig:"JWT_KEYS"`
	// SessionTTL is the life of a session.
	SessionTTL time.Duration `envconfig:"SESSION_TTL" default:"8h"`
	// AdminUsername and AdminPassword make the first account when there is none at all.
	AdminUsername string `envconfig:"ADMIN_USERNAME"`
	AdminPassword Secret `envconfig:"ADMIN_PASSWORD"`
	// AuthRequired false opens reads and writes to callers without a session. For development.
	AuthRequired bool `envconfig:"AUTH_REQUIRED" default:"true"`
	// MetricsPublic opens /api/sistema/metrics to anyone.
	MetricsPublic bool `envconfig:"METRICS_PUBLIC" default:"false"`
	// BcryptCost is the cost of password hashes, 10 to 15.
	BcryptCost int `envconfig:"BCRYPT_COST" default:"12"`
	// LoginRateUser and LoginRateAddress are attempts a minute with one name and from one address.
	LoginRateUser    int `envconfig:"LOGIN_RATE_USER" default:"10"`
	LoginRateAddress int `envconfig:"LOGIN_RATE_ADDRESS" default:"100"`
	// CORSOrigins are the origins that may call from a browser, such as https://siglab.example.edu.
	CORSOrigins []string `envconfig:"CORS_ORIGINS"`
	// TrustedProxies are the networks whose X-Forwarded-For and X-Forwarded-Proto are believed, as 10.0.0.0/8.
	TrustedProxies []Prefix `envconfig:"TRUSTED_PROXIES"`
	// MetricsEnabled false records no request and no operation of a store, which shows what recording them costs. Alerts, dashboards and
	// the autoscaler go blind.
	MetricsEnabled bool `envconfig:"METRICS_ENABLED" default:"true"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `envconfig:"LOG_LEVEL" default:"info"`
}

// Secret is a text that never prints.
type Secret string

// String returns a mask, so that no log or error can hold the secret by accident.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString masks what %#v prints.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Seconds is a duration that is configured as a whole number of seconds.
type Seconds time.Duration

// Decode implements envconfig.Decoder.
func (s *Seconds) Decode(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return errors.New("wants a whole number of seconds")
	}
	*s = Seconds(time.Duration(n) * time.Second)
	return nil
}

// Prefix is a network in CIDR form; a single address is one too.
type Prefix struct{ netip.Prefix }

// Decode implements envconfig.Decoder.
func (p *Prefix) Decode(text string) error {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil {
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	var err error
	p.Prefix, err = netip.ParsePrefix(text)
	return err
}

// LoadConfig reads the environment. The error names each variable that is wrong or missing, and never holds a secret.
func LoadConfig() (Config, error) {
	var c Config
	if err := envconfig.Process("", &c); err != nil {
		if e, ok := errors.AsType[*envconfig.ParseError](err); ok {
			return c, fmt.Errorf("%s: %w", e.KeyName, e.Err)
		}
		return c, err
	}
	for name, secret := range c.secrets() {
		text, err := secretFromEnv(name)
		if err != nil {
			return c, err
		}
		*secret = Secret(text)
	}
	if c.ServerID == "" {
		c.ServerID, _ = os.Hostname() // an instance without a name is still an instance
	}
	return c, c.Check()
}

// secretFromEnv returns the variable of that name, or what stands in the file that NAME_FILE names.
func secretFromEnv(name string) (string, error) {
	text, path := os.Getenv(name), os.Getenv(name+"_FILE")
	switch {
	case path == "":
		return text, nil
	case text != "":
		return "", fmt.Errorf("%s and %s_FILE are both set; set one", name, name)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func (c *Config) secrets() map[string]*Secret {
	return map[string]*Secret{
		"MYSQL_PASSWORD": &c.MySQLPassword, "MYSQL_MIGRATE_PASSWORD": &c.MySQLMigratePassword,
		"MONGO_PASSWORD": &c.MongoPassword, "MONGO_URI": &c.MongoURI,
		"REDIS_PASSWORD": &c.RedisPassword, "REDIS_URL": &c.RedisURL,
		"JWT_KEYS": &c.JWTKeys, "ADMIN_PASSWORD": &c.AdminPassword,
	}
}

// Check says what is wrong with a configuration, every variable at once.
func (c Config) Check() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	between := func(name string, v, low, high int) {
		if v < low || v > high {
			bad("%s is %d and must be from %d to %d", name, v, low, high)
		}
	}
	between("PORT", c.Port, 0, 65535)
	between("METRICS_PORT", c.MetricsPort, 0, 65535)
	between("WORKERS", c.Workers, 0, 1024)
	between("MAX_CONNECTIONS", c.MaxConnections, 1, 1_000_000)
	between("MYSQL_POOL_SIZE", c.MySQLPoolSize, 1, 1000)
	between("MONGO_POOL_SIZE", c.MongoPoolSize, 1, 1000)
	between("REDIS_POOL_SIZE", c.RedisPoolSize, 1, 1000)
	between("BCRYPT_COST", c.BcryptCost, 10, 15)
	between("LOGIN_RATE_USER", c.LoginRateUser, 1, 1_000_000)
	between("LOGIN_RATE_ADDRESS", c.LoginRateAddress, 1, 1_000_000)
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			bad("%s must be more than nothing", name)
		}
	}
	positive("TIMEOUT", time.Duration(c.Timeout))
	positive("KEEP_ALIVE", time.Duration(c.KeepAlive))
	positive("MYSQL_TIMEOUT", c.MySQLTimeout)
	positive("MONGO_TIMEOUT", c.MongoTimeout)
	positive("REDIS_TIMEOUT", c.RedisTimeout)
	positive("REDIS_TTL", time.Duration(c.RedisTTL))
	positive("SESSION_TTL", c.SessionTTL)
	if c.DrainDelay < 0 {
		bad("DRAIN_DELAY must not be negative")
	}
	if t := time.Duration(c.Timeout); c.MySQLTimeout >= t || c.MongoTimeout >= t || c.RedisTimeout >= t {
		bad("MYSQL_TIMEOUT, MONGO_TIMEOUT and REDIS_TIMEOUT must be shorter than TIMEOUT, or requests end before the service can answer for a dependency")
	}
	if (c.AdminUsername == "") != (c.AdminPassword == "") {
		bad("ADMIN_USERNAME and ADMIN_PASSWORD go together; one of them is missing")
	}
	if c.JWTKeys != "" {
		if _, err := usuarios.ParseKeys(string(c.JWTKeys)); err != nil {
			bad("JWT_KEYS: %w", err)
		}
	}
	if c.DataDir != "" {
		unwanted := func(name, v string) {
			if v != "" {
				bad("DATA_DIR and %s are both set; DATA_DIR means that no server is used", name)
			}
		}
		unwanted("MYSQL_HOST", c.MySQLHost)
		unwanted("MONGO_HOST", c.MongoHost)
		unwanted("MONGO_URI", string(c.MongoURI))
		unwanted("REDIS_HOST", c.RedisHost)
		unwanted("REDIS_URL", string(c.RedisURL))
		return errors.Join(wrong...)
	}
	missing := func(name, v string) {
		if v == "" {
			bad("%s is not set (or set DATA_DIR, to run without servers)", name)
		}
	}
	missing("MYSQL_HOST", c.MySQLHost)
	missing("MYSQL_USER", c.MySQLUser)
	missing("MYSQL_DATABASE", c.MySQLDatabase)
	if c.MongoURI == "" {
		missing("MONGO_HOST", c.MongoHost)
	}
	if c.RedisURL == "" {
		missing("REDIS_HOST", c.RedisHost)
	}
	return errors.Join(wrong...)
}
