// Package idempotency names one attempt of a client to add something, so that a retry adds nothing.
// Source: the Idempotency-Key header of the IETF HTTPAPI draft, with the scope and life that the contract of SIGLAB gives it.
package idempotency

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"siglab/app/errs"
)

// Life is how long a key is remembered.
const Life = 24 * time.Hour

// Key is the attempt: the header's value within its user and route, and a fingerprint of the body it came with.
type Key struct {
	ID          string // 64 hexadecimal digits
	Fingerprint string // 64 hexadecimal digits
}

// New makes the key of one request. The parts are hashed, so that stores hold neither bodies nor what a client put in a header.
func New(user, route, value string, body []byte) *Key {
	h := sha256.New()
	for _, part := range []string{user, route, value} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	b := sha256.Sum256(body)
	return &Key{ID: hex.EncodeToString(h.Sum(nil)), Fingerprint: hex.EncodeToString(b[:])}
}

// ErrReused is the answer to a key that comes again with another body.
func ErrReused() error {
	return &errs.Error{
		Kind:    errs.Invalid,
		Message: "La clave de idempotencia ya se usó con otros datos; envíe una clave nueva.",
		Fields:  []errs.Field{{Location: "Idempotency-Key", Message: "ya se usó con otros datos"}},
	}
}
