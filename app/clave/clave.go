// Package clave folds a code or a user name to the key by which it is unique.
package clave

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Of returns s in Unicode's canonical composition with its case folded. Two names are the same name when their keys are the
// same bytes: database collations differ (one takes ñ for n, another knows ASCII alone), so none of them is asked.
func Of(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
			return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
		}
	}
	return s // lower-case ASCII, as most keys are, is its own key
}
