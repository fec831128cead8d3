// Package openapi_test holds the API's document against the specification of OpenAPI 3.1.
package openapi_test

import (
	"os"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// document is the golden file that app/api keeps equal to what the service answers at /openapi.json.
const document = "../../app/api/testdata/openapi.json"

func TestDocumentIsValid(t *testing.T) {
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.GetVersion(); !strings.HasPrefix(got, "3.1") {
		t.Errorf("version: got %s, want 3.1", got)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if valid, errs := v.ValidateDocument(); !valid {
		for _, e := range errs {
			t.Errorf("%s: %s", e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("  %s at %s", s.Reason, s.FieldPath)
			}
		}
	}
}

// TestAWrongDocumentIsNot makes sure that the test above can fail.
func TestAWrongDocumentIsNot(t *testing.T) {
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument([]byte(strings.Replace(string(raw), `"in": "query"`, `"in": "somewhere"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return
	}
	if valid, _ := v.ValidateDocument(); valid {
		t.Error("a parameter in a place that does not exist was accepted")
	}
}
