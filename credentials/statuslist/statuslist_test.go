package statuslist

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustNew(t testing.TB, n int) *List {
	t.Helper()
	l, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSizes(t *testing.T) {
	if n := mustNew(t, 1).Len(); n != MinEntries {
		t.Error(n)
	}
	if n := mustNew(t, MinEntries+1).Len(); n != MinEntries+8 {
		t.Error(n)
	}
	if _, err := New(MaxEntries + 1); !errors.Is(err, ErrLength) {
		t.Error(err)
	}
	if _, err := FromBytes(make([]byte, 10)); !errors.Is(err, ErrLength) {
		t.Error(err)
	}
}

func TestBitsAreMostSignificantFirst(t *testing.T) {
	l := mustNew(t, 0)
	for _, i := range []int{0, 9, MinEntries - 1} {
		if err := l.Set(i, true); err != nil {
			t.Fatal(err)
		}
	}
	b := l.Bytes()
	if b[0] != 0x80 || b[1] != 0x40 || b[len(b)-1] != 1 {
		t.Errorf("%x %x %x", b[0], b[1], b[len(b)-1])
	}
	for _, i := range []int{-1, MinEntries} {
		if _, err := l.Get(i); !errors.Is(err, ErrRange) {
			t.Error(err)
		}
		if err := l.Set(i, true); !errors.Is(err, ErrRange) {
			t.Error(err)
		}
	}
}

// What Bitstring Status List 1.0 shows as an empty list of 16 KiB.
func TestSpecificationExample(t *testing.T) {
	l, err := Decode("uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA")
	if err != nil {
		t.Fatal(err)
	}
	if l.Len() != MinEntries || !bytes.Equal(l.Bytes(), make([]byte, MinEntries/8)) {
		t.Error("not the empty list")
	}
}

func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := New(rapid.IntRange(0, 2*MinEntries).Draw(t, "entries"))
		if err != nil {
			t.Fatal(err)
		}
		set := rapid.SliceOfN(rapid.IntRange(0, l.Len()-1), 0, 50).Draw(t, "set")
		for _, i := range set {
			if err := l.Set(i, true); err != nil {
				t.Fatal(err)
			}
		}
		s, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(s)
		if err != nil || !bytes.Equal(back.Bytes(), l.Bytes()) {
			t.Fatal(err)
		}
		for _, i := range set {
			if on, err := back.Get(i); err != nil || !on {
				t.Fatal(i, on, err)
			}
		}
	})
}

func zipped(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	zero := make([]byte, 1<<16)
	for n > 0 {
		k := min(n, len(zero))
		if _, err := w.Write(zero[:k]); err != nil {
			t.Fatal(err)
		}
		n -= k
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecodeRefuses(t *testing.T) {
	u := func(b []byte) string { return "u" + base64.RawURLEncoding.EncodeToString(b) }
	good := zipped(t, MinEntries/8)
	if _, err := Decode(u(good)); err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(good)
	broken[len(broken)-5] ^= 1 // the checksum
	for name, tt := range map[string]struct {
		in   string
		want error
	}{
		"empty":           {"", ErrMalformed},
		"base58":          {"z" + strings.Repeat("1", 40), ErrMalformed},
		"not base64url":   {"u+/+/", ErrMalformed},
		"padding":         {u(good) + "=", ErrMalformed},
		"not gzip":        {u([]byte("hello")), ErrMalformed},
		"cut":             {u(good[:len(good)-4]), ErrMalformed},
		"checksum":        {u(broken), ErrMalformed},
		"something after": {u(append(bytes.Clone(good), 0)), ErrMalformed},
		"two members":     {u(append(bytes.Clone(good), good...)), ErrMalformed},
		"short":           {u(zipped(t, MinEntries/8-1)), ErrLength},
		"bomb":            {u(zipped(t, 64<<20)), ErrLength},
	} {
		if _, err := Decode(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAssign(t *testing.T) {
	l := mustNew(t, 0)
	seen := map[int]bool{}
	low := 0
	for range 2000 {
		i, err := l.Assign(nil)
		if err != nil || seen[i] {
			t.Fatal(i, err)
		}
		seen[i] = true
		if i < l.Len()/2 {
			low++
		}
	}
	if low < 800 || low > 1200 { // nine standard deviations
		t.Errorf("%d of 2000 lie in the lower half", low)
	}
	full, err := FromBytes(bytes.Repeat([]byte{0xFF}, MinEntries/8))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := full.Assign(nil); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := full.Set(70_003, false); err != nil {
		t.Fatal(err)
	}
	if i, err := full.Assign(nil); i != 70_003 || err != nil {
		t.Error(i, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA")
	f.Add("u")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Decode(s)
		if err == nil && (l.Len() < MinEntries || l.Len() > MaxEntries) {
			t.Fatal(l.Len())
		}
	})
}
