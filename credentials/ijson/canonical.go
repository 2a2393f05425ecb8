package ijson

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Canonical gives v in the canonical form of RFC 8785.
func Canonical(v any) ([]byte, error) { return AppendCanonical(nil, v) }

// AppendCanonical appends the canonical form of v to dst. It knows the values that Parse makes, and
// []string and int for the convenience of callers that build documents; anything else, a string
// that is not UTF-8, an infinity and NaN are errors.
func AppendCanonical(dst []byte, v any) ([]byte, error) {
	w := writer{b: dst}
	if err := w.value(v, 0); err != nil {
		return nil, err
	}
	return w.b, nil
}

// maxWriteDepth stops documents built in memory that contain themselves.
const maxWriteDepth = 1000

type writer struct {
	b    []byte
	keys []string // scratch: the keys of all open objects, a stack
}

func (w *writer) value(v any, depth int) error {
	if depth > maxWriteDepth {
		return ErrTooDeep
	}
	switch v := v.(type) {
	case nil:
		w.b = append(w.b, "null"...)
	case bool:
		w.b = strconv.AppendBool(w.b, v)
	case string:
		return w.str(v)
	case float64:
		return w.number(v)
	case int:
		if int(float64(v)) != v || v > 1<<53 || v < -1<<53 {
			return ErrNumber
		}
		return w.number(float64(v))
	case []any:
		w.b = append(w.b, '[')
		for i, e := range v {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			if err := w.value(e, depth+1); err != nil {
				return err
			}
		}
		w.b = append(w.b, ']')
	case []string:
		w.b = append(w.b, '[')
		for i, e := range v {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			if err := w.str(e); err != nil {
				return err
			}
		}
		w.b = append(w.b, ']')
	case map[string]any:
		return w.object(v, depth)
	default:
		return fmt.Errorf("a Go value of type %T has no JSON form here", v)
	}
	return nil
}

func (w *writer) object(m map[string]any, depth int) error {
	base := len(w.keys)
	for k := range m {
		w.keys = append(w.keys, k)
	}
	slices.SortFunc(w.keys[base:], compareUTF16)
	w.b = append(w.b, '{')
	for i, n := base, base+len(m); i < n; i++ {
		k := w.keys[i]
		if i > base {
			w.b = append(w.b, ',')
		}
		if err := w.str(k); err != nil {
			return err
		}
		w.b = append(w.b, ':')
		if err := w.value(m[k], depth+1); err != nil {
			return err
		}
	}
	w.keys = w.keys[:base]
	w.b = append(w.b, '}')
	return nil
}

// compareUTF16 orders strings by their UTF-16 code units (RFC 8785 section 3.2.3). That differs from
// the order of their UTF-8 bytes only where a character beyond the basic plane (lead byte F0 and up,
// code units D800–DFFF) meets one of U+E000–U+FFFF (lead bytes EE and EF).
func compareUTF16(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
			return int(y) - int(x)
		}
		return int(x) - int(y)
	}
	return len(a) - len(b)
}

const hexDigits = "0123456789abcdef"

func (w *writer) str(s string) error {
	w.b = append(w.b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n <= 1 {
				return ErrUTF8
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		w.b = append(w.b, s[start:i]...)
		switch c {
		case '"', '\\':
			w.b = append(w.b, '\\', c)
		case '\b':
			w.b = append(w.b, '\\', 'b')
		case '\t':
			w.b = append(w.b, '\\', 't')
		case '\n':
			w.b = append(w.b, '\\', 'n')
		case '\f':
			w.b = append(w.b, '\\', 'f')
		case '\r':
			w.b = append(w.b, '\\', 'r')
		default:
			w.b = append(w.b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	w.b = append(w.b, s[start:]...)
	w.b = append(w.b, '"')
	return nil
}

// number writes a number as ECMAScript's Number::toString does (RFC 8785 section 3.2.2.3).
func (w *writer) number(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return ErrNumber
	}
	if f == 0 {
		w.b = append(w.b, '0')
		return nil
	}
	abs := math.Abs(f)
	if abs >= 1e-6 && abs < 1e21 {
		w.b = strconv.AppendFloat(w.b, f, 'f', -1, 64)
		return nil
	}
	w.b = strconv.AppendFloat(w.b, f, 'e', -1, 64)
	// Go pads the exponent to two digits (1e-07); ECMAScript does not.
	if n := len(w.b); w.b[n-2] == '0' && (w.b[n-3] == '-' || w.b[n-3] == '+') {
		w.b[n-2] = w.b[n-1]
		w.b = w.b[:n-1]
	}
	return nil
}
