package vectors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	circl "github.com/cloudflare/circl/hpke"
)

// openSecond reads a sealed file by another library's HPKE, from the text of docs/protocol.md.
func openSecond(file, seed, document []byte) (records []byte, segments int, err error) {
	head := []byte("IHYIDSF\x01\x64\x7a\x00\x01\x00\x02")
	if !bytes.HasPrefix(file, head) || len(file) < len(head)+1120 {
		return nil, 0, errors.New("no header")
	}
	key, err := circl.KEM_XWING.Scheme().UnmarshalBinaryPrivateKey(seed)
	if err != nil {
		return nil, 0, err
	}
	info := append(append([]byte("ihyid/file/1 "), head...), document...)
	receiver, err := circl.NewSuite(circl.KEM_XWING, circl.KDF_HKDF_SHA256, circl.AEAD_AES256GCM).NewReceiver(key, info)
	if err != nil {
		return nil, 0, err
	}
	opener, err := receiver.Setup(file[len(head) : len(head)+1120])
	if err != nil {
		return nil, 0, err
	}
	for rest := file[len(head)+1120:]; ; segments++ {
		const size = 1 + 16384 + 16
		if len(rest) < size {
			return nil, 0, errors.New("cut short")
		}
		plain, err := opener.Open(rest[1:size], rest[:1])
		if err != nil {
			return nil, 0, err
		}
		records = append(records, plain...)
		last := rest[0] == 1
		if rest = rest[size:]; last {
			if len(rest) > 0 {
				return nil, 0, errors.New("something follows")
			}
			return records, segments + 1, nil
		}
	}
}

func TestSecondFile(t *testing.T) {
	var v struct {
		Seed, Public, Document, Payload octets
		Presentation                    string
		Segments                        int
		Sealed                          []byte
		Chunks                          []struct {
			Set   string
			Index uint32
			Data  octets
		}
		Opening struct{ Agreement, Exchange, Challenge octets }
	}
	read(t, "file.json", &v)
	records, segments, err := openSecond(v.Sealed, v.Seed, v.Document)
	if err != nil || segments != v.Segments {
		t.Fatalf("%d segments: %v", segments, err)
	}
	want := binary.BigEndian.AppendUint32([]byte{1}, uint32(len(v.Presentation)))
	want = append(want, v.Presentation...)
	begin := len(want)
	for _, c := range v.Chunks {
		want = binary.BigEndian.AppendUint32(append(want, 2), uint32(1+len(c.Set)+4+len(c.Data)))
		want = append(append(want, byte(len(c.Set))), c.Set...)
		want = append(binary.BigEndian.AppendUint32(want, c.Index), c.Data...)
	}
	if !bytes.Equal(h(want[begin:]), v.Payload) {
		t.Error("the payload has another digest")
	}
	if !bytes.Equal(records, append(want, make([]byte, len(records)-len(want))...)) {
		t.Error("the records are others")
	}
	if !bytes.Equal(h([]byte("ihyid/file/1 opening"), v.Opening.Agreement, v.Opening.Exchange), v.Opening.Challenge) {
		t.Error("the first file's challenge is another")
	}
	for _, cut := range []int{0, 100, 2000, len(v.Sealed) - 1} {
		if _, _, err := openSecond(v.Sealed[:cut], v.Seed, v.Document); err == nil {
			t.Errorf("a file cut to %d bytes is read", cut)
		}
	}
}
