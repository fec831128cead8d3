package usuarios

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"siglab/app/errs"
)

// Issuer and audience of every token. A token for something else that happens to be signed with the same key does not pass.
const (
	issuer   = "siglab"
	audience = "siglab-api"
)

// minKey is the least a key may hold, in bytes: HS256's own size (RFC 7518, 3.2).
const minKey = 32

// Key signs tokens under its ID.
type Key struct {
	ID     string
	secret []byte
}

// ParseKeys reads "kid:base64,kid:base64". The first key signs, all verify: a new key is put first, and the old one removed when
// its last session has expired.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	for _, part := range strings.Split(text, ",") {
		id, b64, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok || id == "" {
			return nil, errors.New("each key is written kid:base64")
		}
		secret, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			return nil, fmt.Errorf("key %s is not base64", id)
		}
		if len(secret) < minKey {
			return nil, fmt.Errorf("key %s has %d bytes and needs %d or more", id, len(secret), minKey)
		}
		for _, k := range keys {
			if k.ID == id {
				return nil, fmt.Errorf("key %s stands there twice", id)
			}
		}
		keys = append(keys, Key{ID: id, secret: secret})
	}
	return keys, nil
}

// NewKey returns the text of a key made at random, in the form that ParseKeys reads.
func NewKey(id string) string {
	secret := make([]byte, minKey)
	_, _ = rand.Read(secret) // never fails, as its documentation says
	return id + ":" + base64.StdEncoding.EncodeToString(secret)
}

// Tokens signs sessions and reads them back.
type Tokens struct {
	keys   []Key
	life   time.Duration
	parser *jwt.Parser
}

// claims is a session in a token. Names follow RFC 7519 where it has one.
type claims struct {
	jwt.RegisteredClaims
	Nombre string `json:"name"`
	Rol    Rol    `json:"rol"`
}

// NewTokens makes tokens that live that long.
func NewTokens(keys []Key, life time.Duration) *Tokens {
	return &Tokens{keys: keys, life: life, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Name}), jwt.WithoutClaimsValidation(),
	)}
}

// Issue begins a session for a user and returns it with its token.
func (t *Tokens) Issue(u Usuario, now time.Time) (Session, string, error) {
	now = now.UTC().Truncate(time.Second) // a token holds whole seconds
	s := Session{ID: rand.Text(), Usuario: u, Began: now, Expires: now.Add(t.life)}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: u.Username, ID: s.ID,
			IssuedAt: jwt.NewNumericDate(s.Began), ExpiresAt: jwt.NewNumericDate(s.Expires),
		},
		Nombre: u.NombreCompleto, Rol: u.Rol,
	})
	token.Header["kid"] = t.keys[0].ID
	text, err := token.SignedString(t.keys[0].secret)
	return s, text, err
}

// Parse returns the session in a token that one of the keys signed and that has not expired, else Unauthenticated.
func (t *Tokens) Parse(text string, now time.Time) (Session, error) {
	var c claims
	_, err := t.parser.ParseWithClaims(text, &c, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		for _, k := range t.keys {
			if k.ID == kid {
				return k.secret, nil
			}
		}
		return nil, errors.New("unknown key")
	})
	ours := err == nil && c.Issuer == issuer && len(c.Audience) == 1 && c.Audience[0] == audience && c.ID != "" &&
		c.ExpiresAt != nil && c.IssuedAt != nil
	if !ours {
		return Session{}, errs.Wrap(errs.Unauthenticated, "La sesión no es válida; inicie sesión de nuevo.", err)
	}
	if !now.Before(c.ExpiresAt.Time) {
		return Session{}, errs.New(errs.Unauthenticated, "La sesión venció; inicie sesión de nuevo.")
	}
	return Session{
		ID: c.ID, Usuario: Usuario{NombreCompleto: c.Nombre, Username: c.Subject, Rol: c.Rol},
		Began: c.IssuedAt.UTC(), Expires: c.ExpiresAt.UTC(),
	}, nil
}
