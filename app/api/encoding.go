package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// coding is a content coding of an answer.
type coding uint8

const (
	plain coding = iota
	gzipped
	zstded
	codings // how many there are
)

// minCompressed is the least body that is worth compressing, in bytes. Source: the description, "response compression".
const minCompressed = 1024

func (c coding) String() string { return [...]string{"", "gzip", "zstd"}[c] }

// suffix tells the ETags of one list's codings apart: they are different bytes (RFC 9110, 8.8.3.3).
func (c coding) suffix() string { return [...]string{"", "-gz", "-zs"}[c] }

// codingFor returns the coding that a client likes best, zstd before gzip.
func codingFor(r *http.Request) coding {
	best, bestQ := plain, 0.0
	for _, line := range r.Header["Accept-Encoding"] {
		for item := range strings.SplitSeq(line, ",") {
			name, q := weighted(item)
			var c coding
			switch {
			case strings.EqualFold(name, "zstd"):
				c = zstded
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"):
				c = gzipped
			default:
				continue
			}
			if q > bestQ || q == bestQ && q > 0 && c > best {
				best, bestQ = c, q
			}
		}
	}
	return best
}

// weighted splits one item of an Accept header into its name and weight.
func weighted(item string) (string, float64) {
	name, params, found := strings.Cut(item, ";")
	name = strings.TrimSpace(name)
	if !found {
		return name, 1
	}
	key, value, _ := strings.Cut(params, "=")
	if !strings.EqualFold(strings.TrimSpace(key), "q") {
		return name, 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || q < 0 || q > 1 {
		return name, 0
	}
	return name, q
}

// compressor makes the two codings. It keeps its writers, which are large, for the next use.
type compressor struct {
	gzips sync.Pool
	zstd  *zstd.Encoder
}

func newCompressor() (*compressor, error) {
	// One encoder at a time and a small window keep it under a few megabytes.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<18))
	if err != nil {
		return nil, err
	}
	c := &compressor{zstd: z}
	c.gzips.New = func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed+2) // the level exists
		return w
	}
	return c, nil
}

func (c *compressor) compress(body []byte, how coding) []byte {
	switch how {
	case gzipped:
		var b bytes.Buffer
		b.Grow(len(body)/4 + 64)
		w := c.gzips.Get().(*gzip.Writer)
		w.Reset(&b)
		_, _ = w.Write(body) // a buffer takes all
		_ = w.Close()
		c.gzips.Put(w)
		return b.Bytes()
	case zstded:
		return c.zstd.EncodeAll(body, make([]byte, 0, len(body)/4+64))
	}
	return body
}

// encode returns v as JSON. What the API answers always has a JSON form; a failure is a fault of the program.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("api: %T does not encode: %v", v, err))
	}
	return b.Bytes()[:b.Len()-1] // without the newline
}

// respond answers with v as JSON.
func (x *exchange) respond(status int, v any) error {
	x.send(status, "application/json", encode(v))
	return nil
}

// send writes a whole body, compressed if it is worth it and the client takes it.
func (x *exchange) send(status int, contentType string, body []byte) {
	h := x.Header()
	h.Set("Content-Type", contentType)
	if len(body) >= minCompressed {
		h.Add("Vary", "Accept-Encoding")
		if how := codingFor(x.r); how != plain {
			body = x.api.compressor.compress(body, how)
			h.Set("Content-Encoding", how.String())
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	_, _ = x.Write(body) // a client that is gone is nobody to tell
}

// sendPlain writes a whole body as it is.
func (x *exchange) sendPlain(status int, contentType string, body []byte) {
	h := x.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.WriteHeader(status)
	_, _ = x.Write(body)
}

// digest names a content: the first half of a SHA-256.
func digest(parts ...[]byte) string {
	s := sha256.New()
	for _, p := range parts {
		s.Write(p)
		s.Write([]byte{0})
	}
	return hex.EncodeToString(s.Sum(nil)[:16])
}

// matches says whether a list of entity tags holds one. Weak tags count only in weak comparison. ok is false when the list is
// not written as RFC 9110, 8.8.3, has it.
func matches(list []string, etag string, weak bool) (found, ok bool) {
	rest := strings.TrimSpace(strings.Join(list, ","))
	if rest == "*" {
		return true, true
	}
	for rest != "" {
		if rest[0] == ',' || rest[0] == ' ' || rest[0] == '\t' {
			rest = rest[1:]
			continue
		}
		text, isWeak := strings.CutPrefix(rest, "W/")
		if len(text) < 2 || text[0] != '"' {
			return false, false
		}
		end := strings.IndexByte(text[1:], '"')
		if end < 0 {
			return false, false
		}
		if text[:end+2] == etag && (weak || !isWeak) {
			found = true
		}
		rest = text[end+2:]
		if rest != "" && rest[0] != ',' && rest[0] != ' ' && rest[0] != '\t' {
			return false, false
		}
	}
	return found, true
}
