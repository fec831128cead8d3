// Package pagina cuts lists into pages by key, so that page 1,000 costs what page 1 costs.
package pagina

import (
	"encoding/base64"
	"encoding/json"

	"siglab/app/errs"
)

// Cursor is where a page begins: after the row with these values of the order's fields. It is opaque to clients, who get it
// in a Link header; it holds nothing secret, and a forged one can name no more than a place in a list.
type Cursor struct {
	Orden string   `json:"o"` // the order it belongs to, such as "area:asc"
	After []string `json:"a"` // the row's values, in the order's fields
}

// Encode returns the cursor's text: letters, digits, - and _.
func (c Cursor) Encode() string {
	b, _ := json.Marshal(c) // two fields of strings always marshal
	return base64.RawURLEncoding.EncodeToString(b)
}

// Decode reads a cursor that was made for this order with n values; anything else is a Malformed error.
func Decode(text, orden string, n int) (Cursor, error) {
	var c Cursor
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || c.Orden != orden || len(c.After) != n || c.Encode() != text {
		return Cursor{}, errs.New(errs.Malformed, "El cursor no es válido para esta lista; pida de nuevo la primera página.")
	}
	return c, nil
}
