package usuarios_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"siglab/app/errs"
	"siglab/app/usuarios"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

var ana = usuarios.Usuario{NombreCompleto: "Ana Núñez", Username: "ana", Rol: usuarios.Admin}

func keys(t *testing.T, text string) []usuarios.Key {
	t.Helper()
	k, err := usuarios.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTokenHoldsTheSession(t *testing.T) {
	tokens := usuarios.NewTokens(keys(t, usuarios.NewKey("a")), time.Hour)
	want, text, err := tokens.Issue(ana, noon)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tokens.Parse(text, noon.Add(59*time.Minute))
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := tokens.Parse(text, noon.Add(time.Hour)); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("expired: got %v, want Unauthenticated", err)
	}
}

func TestKeysRotate(t *testing.T) {
	old, next := usuarios.NewKey("old"), usuarios.NewKey("next")
	_, text, err := usuarios.NewTokens(keys(t, old), time.Hour).Issue(ana, noon)
	if err != nil {
		t.Fatal(err)
	}
	both := usuarios.NewTokens(keys(t, next+","+old), time.Hour)
	if _, err := both.Parse(text, noon); err != nil {
		t.Errorf("a session of the old key, which still stands second: got %v", err)
	}
	if _, err := usuarios.NewTokens(keys(t, next), time.Hour).Parse(text, noon); errs.KindOf(err) != errs.Unauthenticated {
		t.Errorf("a session of a key that was removed: got %v, want Unauthenticated", err)
	}
}

func TestForgedTokens(t *testing.T) {
	key := usuarios.NewKey("a")
	tokens := usuarios.NewTokens(keys(t, key), time.Hour)
	_, text, err := tokens.Issue(ana, noon)
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(text, ".")
	none := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": "siglab", "aud": "siglab-api", "jti": "x", "exp": noon.Add(time.Hour).Unix(), "iat": noon.Unix()})
	none.Header["kid"] = "a"
	unsigned, err := none.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := usuarios.NewTokens(keys(t, usuarios.NewKey("a")), time.Hour).Issue(ana, noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]string{
		"empty":                        "",
		"no token":                     "abc",
		"unsigned":                     unsigned,
		"another key of the same name": other,
		"signature cut":                text[:len(text)-3],
		"claims of another":            strings.Join([]string{part[0], strings.Split(other, ".")[1], part[2]}, "."),
		"signature removed, dots stay": part[0] + "." + part[1] + ".",
		"a megabyte":                   strings.Repeat("a", 1<<20),
	} {
		if _, err := tokens.Parse(forged, noon); errs.KindOf(err) != errs.Unauthenticated {
			t.Errorf("%s: got %v, want Unauthenticated", name, err)
		}
	}
}

func TestParseKeysRefuses(t *testing.T) {
	good := usuarios.NewKey("a")
	for name, text := range map[string]string{
		"empty":        "",
		"no id":        strings.TrimPrefix(good, "a"),
		"no colon":     "abc",
		"not base64":   "a:%%%",
		"short":        "a:c2hvcnQ=",
		"twice":        good + "," + good,
		"empty second": good + ",",
	} {
		_, err := usuarios.ParseKeys(text)
		if err == nil {
			t.Errorf("%s: got no error", name)
		} else if secret := strings.TrimPrefix(good, "a:"); strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds the key: %v", name, err)
		}
	}
}
