// Package memory does inside one process what Redis does for several: it is the cache, the list of active sessions and the rate
// limiter of the embedded mode, and the limiter that a pod falls back to while Redis is down. Nothing here survives a restart,
// and everything is bounded.
package memory

import (
	"crypto/rand"
	"encoding/hex"
)

// token returns 128 random bits as text.
func token() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}
