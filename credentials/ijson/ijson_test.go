package ijson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, in     string
		want         error
		line, column int
	}{
		{"empty", "", ErrSyntax, 1, 1},
		{"space only", " \n ", ErrSyntax, 2, 2},
		{"two documents", "{} {}", ErrTrailing, 1, 4},
		{"byte order mark", "\ufeff{}", ErrSyntax, 1, 1},
		{"duplicate key", "{\"a\":1,\n \"a\":2}", ErrDuplicateKey, 2, 2},
		{"duplicate key by escape", `{"a":1,"\u0061":2}`, ErrDuplicateKey, 1, 8},
		{"duplicate key deep", `[{"x":{"a":1,"b":2,"a":3}}]`, ErrDuplicateKey, 1, 20},
		{"invalid UTF-8", "\"a\xff\"", ErrUTF8, 1, 3},
		{"overlong", "\"\xc0\xaf\"", ErrUTF8, 1, 2},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", ErrUTF8, 1, 2},
		{"invalid UTF-8 after an escape", "\"\\n\xff\"", ErrUTF8, 1, 4},
		{"lone high surrogate", `"\ud800"`, ErrSurrogate, 1, 2},
		{"lone low surrogate", `"\udc00"`, ErrSurrogate, 1, 2},
		{"two high surrogates", `"\ud800\ud800"`, ErrSurrogate, 1, 2},
		{"high surrogate and a letter", `"\ud800a"`, ErrSurrogate, 1, 2},
		{"unknown escape", `"\x"`, ErrSyntax, 1, 2},
		{"short escape", `"\u12"`, ErrSyntax, 1, 2},
		{"control character", "\"a\tb\"", ErrSyntax, 1, 3},
		{"open string", `"abc`, ErrSyntax, 1, 5},
		{"open escape", `"abc\`, ErrSyntax, 1, 5},
		{"trailing comma", `[1,]`, ErrSyntax, 1, 4},
		{"trailing comma in object", `{"a":1,}`, ErrSyntax, 1, 8},
		{"no colon", `{"a" 1}`, ErrSyntax, 1, 6},
		{"bare key", `{a:1}`, ErrSyntax, 1, 2},
		{"single quotes", `{'a':1}`, ErrSyntax, 1, 2},
		{"comment", `{} // x`, ErrTrailing, 1, 4},
		{"leading zero", `01`, ErrTrailing, 1, 2},
		{"plus", `+1`, ErrSyntax, 1, 1},
		{"no digits before the point", `.5`, ErrSyntax, 1, 1},
		{"no digits after the point", `1.`, ErrSyntax, 1, 3},
		{"no exponent", `1e`, ErrSyntax, 1, 3},
		{"NaN", `NaN`, ErrSyntax, 1, 1},
		{"literal cut", `tru`, ErrSyntax, 1, 1},
		{"minus zero", `-0`, ErrNumber, 1, 1},
		{"minus zero with a fraction", `[-0.0e7]`, ErrNumber, 1, 2},
		{"beyond 2^53", `9007199254740993`, ErrNumber, 1, 1},
		{"too many digits", `0.1000000000000000055`, ErrNumber, 1, 1},
		{"too large", `1e400`, ErrNumber, 1, 1},
		{"too small", `1e-400`, ErrNumber, 1, 1},
		{"absurd exponent", `1e99999999999999999999`, ErrNumber, 1, 1},
		{"zero with absurd exponent", `0e99999999999999999999`, ErrNumber, 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.in), Limits{})
			var s *SyntaxError
			if !errors.Is(err, tt.want) || !errors.As(err, &s) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if s.Line != tt.line || s.Column != tt.column {
				t.Errorf("at %d:%d, want %d:%d", s.Line, s.Column, tt.line, tt.column)
			}
		})
	}
}

func TestParseLimits(t *testing.T) {
	l := Limits{MaxBytes: 20, MaxDepth: 3, MaxValues: 5}
	for in, want := range map[string]error{
		`[1,2,3,4]`:               nil,
		`[1,2,3,4,5]`:             ErrTooMany,
		`[[[]]]`:                  nil,
		`[[[[]]]]`:                ErrTooDeep,
		`{"a":{"b":[]}}`:          nil,
		`[[{"a":{}}]]`:            ErrTooDeep,
		`"123456789012345678"`:    nil,
		`"1234567890123456789"`:   ErrTooLarge,
		`{"a":1,"b":2,"c":3,"d"}`: ErrTooLarge,
	} {
		if _, err := Parse([]byte(in), l); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", in, err, want)
		}
	}
	if _, err := Parse(bytes.Repeat([]byte("["), DefaultMaxBytes), Limits{}); !errors.Is(err, ErrTooDeep) {
		t.Error(err)
	}
	if _, err := ParseObject([]byte("[]"), Limits{}); !errors.Is(err, ErrNotObject) {
		t.Error(err)
	}
}

// Numbers in all their spellings, by RFC 8785 appendix B and beyond.
func TestNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "1": "1", "-1": "-1", "1.0": "1", "1.50": "1.5", "100": "100", "1e2": "100", "1E+2": "100",
		"0.001": "0.001", "1e-3": "0.001", "0.000001": "0.000001", "1e-7": "1e-7", "0.0000001": "1e-7",
		"9007199254740992": "9007199254740992", "123456789012345680": "123456789012345680",
		"1e21": "1e+21", "1e20": "100000000000000000000", "5e-324": "5e-324",
		"1.7976931348623157e308": "1.7976931348623157e+308", "333333333.33333329": "333333333.3333333",
		"0e5": "0", "0.0": "0", "1.5e-10": "1.5e-10", "-1e-9": "-1e-9", "1e-10": "1e-10",
	} {
		v, err := Parse([]byte(in), Limits{})
		if in == "333333333.33333329" { // a digit more than a float keeps
			if !errors.Is(err, ErrNumber) {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got, err := Canonical(v); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	v, err := Parse([]byte(`{"\u20ac":"Euro","\r":"CR","\ufb33":"Hebrew","1":"One","\u0080":"C","\ud83d\ude00":"smile","\u00f6":"o"}`), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := "{\"\\r\":\"CR\",\"1\":\"One\",\"\u0080\":\"C\",\"\u00f6\":\"o\",\"\u20ac\":\"Euro\",\"\U0001F600\":\"smile\",\"\ufb33\":\"Hebrew\"}"
	if got, err := Canonical(v); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []any{math.NaN(), math.Inf(1), "\xff", map[string]any{"\xff": nil}, struct{}{}, []any{1 << 54}} {
		if got, err := Canonical(bad); err == nil {
			t.Errorf("%v: %s", bad, got)
		}
	}
	loop := []any{nil}
	loop[0] = loop
	if _, err := Canonical(loop); !errors.Is(err, ErrTooDeep) {
		t.Error(err)
	}
	if got, err := Canonical([]any{[]string{"b", "a"}, 7}); err != nil || string(got) != `[["b","a"],7]` {
		t.Errorf("%s, %v", got, err)
	}
}

// value draws a JSON value of the kinds that Parse makes.
func value(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.String().Draw(t, "string")
		case 3:
			f := rapid.Float64().Draw(t, "number")
			if f == 0 {
				f = 0 // no -0
			}
			return math.Abs(f)
		case 4:
			return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "array")
		}
		return rapid.MapOfN(rapid.String(), value(depth-1), 0, 4).Draw(t, "object")
	})
}

func TestAgreesWithOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		mine, err := Canonical(v)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		// the other library takes arrays and objects only
		theirs, err := jcs.Transform([]byte("[" + string(plain) + "]"))
		if err != nil {
			t.Fatal(err)
		}
		if got := "[" + string(mine) + "]"; got != string(theirs) {
			t.Fatalf("mine %s, theirs %s", got, theirs)
		}
		for _, in := range [][]byte{mine, plain} {
			back, err := Parse(in, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, v) {
				t.Fatalf("%v became %v", v, back)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `[1,-2.5e3,"x",null,true,false]`, `{"a":{"b":["\ud83d\ude00\n\u0000"]}}`, `{"a":1,"a":2}`,
		`-0`, `1e400`, `"\ud800"`, "\"\xff\"", `9007199254740993`, strings.Repeat("[", 70), `{"a":1}x`, `0.1e-6`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := Parse(in, Limits{})
		if err != nil {
			return
		}
		var other any
		if err := json.Unmarshal(in, &other); err != nil {
			t.Fatalf("encoding/json refuses what Parse accepts: %v", err)
		}
		if !reflect.DeepEqual(v, other) {
			t.Fatalf("encoding/json reads %v, Parse %v", other, v)
		}
		c, err := Canonical(v)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(c, Limits{MaxBytes: 8 * DefaultMaxBytes})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Canonical(back)
		if err != nil || !bytes.Equal(c, again) {
			t.Fatalf("the canonical form is not stable: %q, %q, %v", c, again, err)
		}
	})
}

func BenchmarkParseAndCanonical(b *testing.B) {
	in := []byte(`{"@context":["https://www.w3.org/ns/credentials/v2"],"id":"urn:uuid:1","type":["VerifiableCredential"],` +
		`"issuer":"did:web:a.example","credentialSubject":{"id":"did:web:b.example","matchId":"m-0001","score":0.93,"list":["a","b","c"]}}`)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		v, err := Parse(in, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Canonical(v); err != nil {
			b.Fatal(err)
		}
	}
}
