package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"siglab/app"
	"siglab/app/usuarios"
)

// set clears what this machine's environment may hold of SIGLAB's variables and sets these.
func set(t *testing.T, vars map[string]string) {
	t.Helper()
	for _, name := range []string{
		"HOST", "PORT", "METRICS_PORT", "SERVER_ID", "WORKERS", "DATA_DIR", "MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE",
		"MONGO_HOST", "MONGO_URI", "REDIS_HOST", "REDIS_URL", "JWT_KEYS", "ADMIN_USERNAME", "ADMIN_PASSWORD", "TIMEOUT", "REDIS_TTL", "TRUSTED_PROXIES",
	} {
		old, was := os.LookupEnv(name)
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
		if was {
			t.Cleanup(func() { _ = os.Setenv(name, old) })
		}
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
}

func TestDefaults(t *testing.T) {
	set(t, map[string]string{"DATA_DIR": t.TempDir()})
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 8000 || time.Duration(c.Timeout) != 30*time.Second || !c.AuthRequired || time.Duration(c.RedisTTL) != time.Minute || c.ServerID == "" {
		t.Errorf("got %+v", c)
	}
}

func TestWithoutServersItSaysWhichVariableIsMissing(t *testing.T) {
	set(t, nil)
	_, err := app.LoadConfig()
	for _, name := range []string{"MYSQL_HOST", "MYSQL_USER", "MYSQL_DATABASE", "MONGO_HOST", "REDIS_HOST"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("got %v, want it to name %s", err, name)
		}
	}
}

func TestWrongValuesAreNamed(t *testing.T) {
	for name, value := range map[string]string{
		"PORT": "70000", "METRICS_PORT": "x", "TIMEOUT": "1m", "WORKERS": "-1", "BCRYPT_COST": "4", "MAX_CONNECTIONS": "0", "REDIS_TTL": "0",
		"MYSQL_TIMEOUT": "31s", "TRUSTED_PROXIES": "10.0.0.0/40", "JWT_KEYS": "a:c2hvcnQ=", "ADMIN_USERNAME": "root", "MYSQL_HOST": "db",
		"LOGIN_RATE_USER": "0", "AUTH_REQUIRED": "maybe", "SESSION_TTL": "-1s",
	} {
		set(t, map[string]string{"DATA_DIR": t.TempDir()})
		t.Setenv(name, value)
		if _, err := app.LoadConfig(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: got %v, want an error that names it", name, value, err)
		}
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecretsComeFromFilesAndNeverPrint(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "jwt")
	key := usuarios.NewKey("k1")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	set(t, map[string]string{"DATA_DIR": dir, "JWT_KEYS_FILE": file})
	c, err := app.LoadConfig()
	if err != nil || string(c.JWTKeys) != key {
		t.Fatalf("got %v and an unexpected key, want the file's", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, key) {
			t.Errorf("%s prints the secret", verb)
		}
	}
	t.Setenv("JWT_KEYS", key)
	if _, err := app.LoadConfig(); err == nil || strings.Contains(err.Error(), key) {
		t.Errorf("both given: got %v, want an error without the secret", err)
	}
}
