package usuarios

import (
	"context"
	"time"
)

// Store keeps the accounts and the revoked sessions. A store that does not answer in its time returns an Unavailable error;
// user names are compared by clave.Of.
type Store interface {
	// ByUsername returns an account with its bcrypt hash, or NotFound.
	ByUsername(ctx context.Context, username string) (Usuario, []byte, error)
	// Insert adds an account. Conflict says that the name is taken.
	Insert(ctx context.Context, u Usuario, hash []byte) error
	// InsertFirst adds an account if there is none at all, and says whether it did. Of several replicas one wins.
	InsertFirst(ctx context.Context, u Usuario, hash []byte) (bool, error)
	// ReplaceHash puts a new hash in place of an old one, if the old one still stands there.
	ReplaceHash(ctx context.Context, username string, old, new []byte) error
	// Revoke notes that a session is refused from now on. Doing it again is no error.
	Revoke(ctx context.Context, r Revocation) error
	// Revocations returns those that were committed at or after a time, by the store's own clock, and that clock's reading
	// from before the query, to be passed the next time. The zero time asks for all.
	Revocations(ctx context.Context, since time.Time) ([]Revocation, time.Time, error)
	// ForgetRevocations removes those whose sessions had expired by that time.
	ForgetRevocations(ctx context.Context, expired time.Time) error
}

// Revocation is a session that was ended before its time.
type Revocation struct {
	Session string    // the session's ID
	Expires time.Time // when it would have ended by itself, and need not be remembered longer
}

// Sessions knows who is at work, and tells the other replicas of revocations. It may forget: nothing that decides on access
// depends on it.
type Sessions interface {
	// Open notes a session as active until it expires.
	Open(ctx context.Context, s Session, at time.Time) error
	// Touch notes that a session was used.
	Touch(ctx context.Context, s Session, at time.Time) error
	// Close forgets a session.
	Close(ctx context.Context, id string) error
	// Active returns the sessions that have not expired at a time, in no order.
	Active(ctx context.Context, at time.Time) ([]Activa, error)
	// Announce tells every replica of a revocation, this one included. Who is not listening misses it.
	Announce(ctx context.Context, r Revocation) error
	// Listen calls heard for each announcement until ctx ends, reconnecting by itself.
	Listen(ctx context.Context, heard func(Revocation))
}

// Limiter counts attempts.
type Limiter interface {
	// Allow takes one of the attempts that a key has a minute. When none is left it returns how long to wait, else 0.
	Allow(ctx context.Context, key string, perMinute int) (wait time.Duration, err error)
}
