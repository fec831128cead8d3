// Package fecha holds calendar days as the contract writes them.
package fecha

import (
	"errors"
	"time"
)

// Fecha is a real day written YYYY-MM-DD, without a time zone; the empty Fecha is no day. Its text sorts as its days do.
type Fecha string

// ErrInvalid says that a text is not a real day in the form YYYY-MM-DD.
var ErrInvalid = errors.New("fecha: not a day in the form YYYY-MM-DD")

// Parse accepts exactly YYYY-MM-DD with a day that exists, of the years 1000 to 9999, which every store can hold.
func Parse(s string) (Fecha, error) {
	if len(s) != len(time.DateOnly) || s[0] == '0' {
		return "", ErrInvalid
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", ErrInvalid
	}
	return Fecha(s), nil
}

// Of returns the day of t in t's own location.
func Of(t time.Time) Fecha { return Fecha(t.Format(time.DateOnly)) }
