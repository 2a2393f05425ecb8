package envelope

import (
	"bytes"
	"testing"
)

// FuzzParse: a blob that parses is made again from its parts, and the
// additional data binds all of its header but the nonce.
func FuzzParse(f *testing.F) {
	good, _ := New(ID{1, 2, 3}, [NonceSize]byte{9}, 5, nil)
	f.Add(append(good, make([]byte, 5+TagSize)...), []byte("aad"))
	f.Add(good, []byte{})
	f.Add([]byte("IHKW\x02\x01"), []byte{})
	f.Fuzz(func(t *testing.T, blob, callers []byte) {
		h, err := Parse(blob)
		if err != nil {
			return
		}
		again, aad := New(h.KeyID, [NonceSize]byte(h.Nonce), 0, callers)
		if again = append(again, h.Ciphertext...); !bytes.Equal(again, blob) {
			t.Fatalf("%x is made again as %x", blob, again)
		}
		if got := h.AAD(callers); !bytes.Equal(got, aad) || !bytes.Equal(got, append(bytes.Clone(blob[:22]), callers...)) {
			t.Fatalf("additional data %x, want %x", got, aad)
		}
	})
}

func TestParseID(t *testing.T) {
	id, err := NewID(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := ParseID(id.String()); !ok || got != id {
		t.Errorf("ParseID(%s) = %v, %v", id, got, ok)
	}
	for _, s := range []string{"", id.String()[:31], id.String() + "0", "0011223344556677889900AABBCCDDEE", "0011223344556677889900aabbccddeg"} {
		if _, ok := ParseID(s); ok {
			t.Errorf("ParseID(%q) succeeded", s)
		}
	}
}
