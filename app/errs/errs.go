// Package errs carries a failure from where it is found to where it is answered: a kind, from which the API makes a
// status, and a Spanish sentence that a person at a browser may read. What a driver said stays inside, for the log.
package errs

import (
	"errors"
	"time"
)

// Kind classifies a failure. The API alone knows which HTTP status a kind becomes.
type Kind uint8

// The kinds, each with what it says of a request.
const (
	Internal        Kind = iota // a fault of ours; the zero value, so an unclassified error is never blamed on the client
	Malformed                   // cannot be understood, or out of a documented range
	Unauthenticated             // no session, or one that does not hold
	Forbidden                   // a session that may not do this
	NotFound                    // what it names does not exist
	Conflict                    // what it would make exists already
	Stale                       // its precondition does not hold any more
	Invalid                     // understood, but a field breaks a rule
	Limited                     // too many attempts
	Unavailable                 // something the service needs does not answer, or it is over its capacity
)

// Field is one field that breaks a rule. Location is its name as the client wrote it; Message is Spanish.
type Field struct {
	Location string
	Message  string
	Value    any // what the client sent, nil when it must not be echoed
}

// Error is a classified failure. Message is safe to show to any client.
type Error struct {
	Kind       Kind
	Message    string
	Fields     []Field
	RetryAfter time.Duration // for Limited and Unavailable; 0 leaves it to the API
	Cause      error         // for the log only
	Refused    bool          // turned away for want of capacity, before anything was done
}

// Error returns the client's message and, after it, the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error of a kind with a Spanish sentence.
func New(kind Kind, message string) *Error { return &Error{Kind: kind, Message: message} }

// Wrap is New with the cause kept for the log.
func Wrap(kind Kind, message string, cause error) *Error {
	return &Error{Kind: kind, Message: message, Cause: cause}
}

// KindOf returns the kind of the first *Error in err's chain, Internal when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Fields collects the fields of one input that break a rule.
type Fields []Field

// Add notes that a field breaks a rule.
func (f *Fields) Add(location, message string, value any) {
	*f = append(*f, Field{Location: location, Message: message, Value: value})
}

// Err returns nil when no field was noted, else an Invalid error whose sentence names the first.
func (f Fields) Err() error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Message: f[0].Message, Fields: f}
}
