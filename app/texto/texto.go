// Package texto cleans and checks the short texts that people type.
package texto

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"siglab/app/errs"
)

// Clean trims white space and composes characters, so that a name typed on another keyboard is the same name.
func Clean(s string) string { return norm.NFC.String(strings.TrimSpace(s)) }

// Required notes in bad a field that is empty.
func Required(bad *errs.Fields, field, value string) {
	if value == "" {
		bad.Add(field, fmt.Sprintf("El campo %s es obligatorio.", field), nil)
	}
}

// Check notes in bad a text that is longer than max characters or holds control characters other than those allowed.
func Check(bad *errs.Fields, field, value string, max int, allowed string) {
	if utf8.RuneCountInString(value) > max {
		bad.Add(field, fmt.Sprintf("El campo %s admite hasta %d caracteres.", field, max), nil)
		return
	}
	control := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune(allowed, r) }
	if strings.ContainsFunc(value, control) {
		bad.Add(field, fmt.Sprintf("El campo %s no admite caracteres de control.", field), nil)
	}
}
