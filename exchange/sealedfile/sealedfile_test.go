package sealedfile

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	circl "github.com/cloudflare/circl/hpke"
)

var document = sha256.Sum256([]byte("a document"))

func newKey(t testing.TB) hpke.PrivateKey {
	t.Helper()
	k, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type piece struct {
	set   string
	index uint32
	data  []byte
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func seal(t testing.TB, to hpke.PublicKey, presentation []byte, chunks ...piece) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, to, document, presentation)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		if err := w.Chunk(c.set, c.index, c.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// open reads a file to its end.
func open(file []byte, keys ...Recipient) (presentation []byte, chunks []piece, err error) {
	r, err := NewReader(bytes.NewReader(file), 1<<30, keys)
	if err != nil {
		return nil, nil, err
	}
	for {
		c, err := r.Next()
		if err == io.EOF {
			return r.Presentation(), chunks, nil
		}
		if err != nil {
			return nil, nil, err
		}
		chunks = append(chunks, piece{c.Set, c.Index, bytes.Clone(c.Data)})
	}
}

func TestRoundTrip(t *testing.T) {
	key := newKey(t)
	me := Recipient{key, document}
	// Sizes at and around the ends of segments, where the end of the records falls on the first or the last byte of one.
	for _, size := range []int{1, SegmentSize - 40, SegmentSize - 7, SegmentSize - 6, SegmentSize - 5, SegmentSize, 4*SegmentSize - 6, 4*SegmentSize - 5, 4 * SegmentSize, MaxPresentation} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := random(size)
			file := seal(t, key.PublicKey(), want)
			if uint64(len(file)) != Size(uint64(5+size)) {
				t.Errorf("%d bytes, and Size says %d", len(file), Size(uint64(5+size)))
			}
			got, chunks, err := open(file, me)
			if err != nil || !bytes.Equal(got, want) || len(chunks) != 0 {
				t.Fatalf("%d bytes, %d chunks, %v", len(got), len(chunks), err)
			}
		})
	}
	chunks := []piece{{"bundle", 0, random(MaxData)}, {"bundle", 1, random(1)}, {"a set of thirty-two bytes of name", 1<<32 - 1, nil}, {"tags", 0, random(70_000)}}
	chunks[2].set = chunks[2].set[:32]
	file := seal(t, key.PublicKey(), []byte("{}"), chunks...)
	_, got, err := open(file, me)
	if err != nil || len(got) != len(chunks) {
		t.Fatal(len(got), err)
	}
	for i := range got {
		if got[i].set != chunks[i].set || got[i].index != chunks[i].index || !bytes.Equal(got[i].data, chunks[i].data) {
			t.Errorf("chunk %d came out otherwise", i)
		}
	}
	if again := seal(t, key.PublicKey(), []byte("{}"), chunks...); bytes.Equal(again[HeaderSize:], file[HeaderSize:]) || len(again) != len(file) {
		t.Error("the same, sealed again, must be as long and look unlike the first")
	}
}

func TestFindsTheKey(t *testing.T) {
	key, other := newKey(t), newKey(t)
	file := seal(t, key.PublicKey(), []byte("{}"))
	keys := []Recipient{{other, document}, {key, sha256.Sum256(nil)}, {key, document}}
	r, err := NewReader(bytes.NewReader(file), 1<<20, keys)
	if err != nil || r.Recipient().Document != document {
		t.Fatal(err)
	}
	for name, keys := range map[string][]Recipient{"none": nil, "another node's": keys[:1], "another document": keys[:2]} {
		if _, _, err := open(file, keys...); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := make([]Recipient, MaxRecipients+1)
	for i := range many {
		many[i] = Recipient{other, document}
	}
	many[MaxRecipients] = keys[2]
	if _, _, err := open(file, many...); !errors.Is(err, ErrNoKey) {
		t.Errorf("more keys were tried than are allowed: %v", err)
	}
}

// Two files of unlike contents look alike but for what is random: nothing in the clear tells sender, receiver or step.
func TestTellsNothing(t *testing.T) {
	a, b := newKey(t), newKey(t)
	one := seal(t, a.PublicKey(), []byte(`{"holder":"did:web:relief.example.org"}`), piece{"claims", 0, random(72)})
	two := seal(t, b.PublicKey(), []byte(`{}`), piece{"claims", 0, random(72 * 500)})
	if len(one) != len(two) {
		t.Errorf("1 claim makes %d bytes, 500 make %d", len(one), len(two))
	}
	if !bytes.Equal(one[:HeaderSize], two[:HeaderSize]) {
		t.Error("the headers differ")
	}
	if bytes.Contains(one, []byte("relief")) || bytes.Contains(one, []byte("claims")) {
		t.Error("something stands in the clear")
	}
}

func TestCutShort(t *testing.T) {
	key := newKey(t)
	file := seal(t, key.PublicKey(), []byte("{}"), piece{"bundle", 0, random(100_000)})
	for cut := range len(file) {
		if cut > 3000 && cut%997 != 0 && cut%sealedSegment > 2 && cut < len(file)-3 {
			continue
		}
		if _, _, err := open(file[:cut], Recipient{key, document}); !errors.Is(err, ErrCutShort) && !(cut < HeaderSize && errors.Is(err, ErrNotAFile)) {
			t.Fatalf("cut to %d bytes: %v", cut, err)
		}
	}
	// Whole segments left out, swapped or doubled.
	at := func(i int) int { return HeaderSize + EncapsulatedKey + i*sealedSegment }
	for name, bad := range map[string][]byte{
		"left out": bytes.Join([][]byte{file[:at(1)], file[at(2):]}, nil),
		"swapped":  bytes.Join([][]byte{file[:at(1)], file[at(2):at(3)], file[at(1):at(2)], file[at(3):]}, nil),
		"doubled":  bytes.Join([][]byte{file[:at(2)], file[at(1):]}, nil),
		"more":     append(bytes.Clone(file), 0),
	} {
		if _, _, err := open(bad, Recipient{key, document}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	key := newKey(t)
	file := seal(t, key.PublicKey(), []byte("{}"), piece{"bundle", 0, random(40_000)})
	for i := range file {
		if i > 1300 && i%613 != 0 && (i-HeaderSize-EncapsulatedKey)%sealedSegment > 1 {
			continue
		}
		bad := bytes.Clone(file)
		bad[i] ^= 1 << (i % 8)
		_, _, err := open(bad, Recipient{key, document})
		want := ErrDamaged
		switch {
		case i < HeaderSize:
			want = ErrNotAFile
		case i < HeaderSize+EncapsulatedKey+sealedSegment:
			want = ErrNoKey // nothing of it opens
		}
		if !errors.Is(err, want) {
			t.Fatalf("bit of byte %d flipped: %v", i, err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	key := newKey(t)
	file := seal(t, key.PublicKey(), []byte("{}"), piece{"bundle", 0, random(1 << 20)})
	for _, most := range []int64{0, 10, 2000, 20_000, int64(len(file)) - 1} {
		r, err := NewReader(bytes.NewReader(file), most, []Recipient{{key, document}})
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("at most %d bytes: %v", most, err)
		}
	}
}

// raw seals plaintext as it is, to see what a reader does with what no writer of ours makes.
func raw(t testing.TB, to hpke.PublicKey, flags []byte, plain ...byte) []byte {
	t.Helper()
	kdf, aead := suite()
	enc, s, err := hpke.NewSender(to, kdf, aead, info(document))
	if err != nil {
		t.Fatal(err)
	}
	out := append(bytes.Clone(header[:]), enc...)
	plain = append(plain, make([]byte, max(0, len(flags)*SegmentSize-len(plain)))...)
	for i, flag := range flags {
		c, err := s.Seal([]byte{flag}, plain[i*SegmentSize:(i+1)*SegmentSize])
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, flag), c...)
	}
	return out
}

func TestForm(t *testing.T) {
	key := newKey(t)
	four := []byte{0, 0, 0, 1}
	begin := []byte{1, 0, 0, 0, 1, '{'}
	with := func(more ...byte) []byte { return append(bytes.Clone(begin), more...) }
	dirty := append(with(0), make([]byte, 3*SegmentSize)...)
	dirty[len(dirty)-1] = 1
	for name, c := range map[string]struct {
		flags, plain []byte
		ok           bool
	}{
		"good":                        {four, with(0), true},
		"no presentation":             {four, []byte{0}, false},
		"a chunk first":               {four, []byte{2, 0, 0, 0, 6, 1, 'a', 0, 0, 0, 0}, false},
		"an empty presentation":       {four, []byte{1, 0, 0, 0, 0, 0}, false},
		"two presentations":           {four, with(begin...), false},
		"an unknown record":           {four, with(3, 0, 0, 0, 0), false},
		"a record without end":        {four, with(2, 0, 1, 0, 0), false},
		"a record of 4 GiB":           {four, with(2, 0xff, 0xff, 0xff, 0xff), false},
		"a chunk too short":           {four, with(2, 0, 0, 0, 5, 1, 'a', 0, 0, 0), false},
		"a set without a name":        {four, with(2, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0), false},
		"a set's name past the chunk": {four, with(2, 0, 0, 0, 6, 200, 'a', 0, 0, 0, 0), false},
		"too little padding":          {[]byte{0, 0, 1}, with(0), false},
		"too much padding":            {[]byte{0, 0, 0, 0, 1}, with(0), false},
		"padding that is not zero":    {four, dirty, false},
		"a flag that is none":         {[]byte{0, 2, 0, 1}, with(0), false},
		"a flag that is none, first":  {[]byte{2, 0, 0, 1}, with(0), false},
	} {
		_, _, err := open(raw(t, key.PublicKey(), c.flags, c.plain...), Recipient{key, document})
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := open(raw(t, key.PublicKey(), []byte{1, 0, 0, 0}, with(0)...), Recipient{key, document}); err == nil {
		t.Error("segments after the last one were taken")
	}
}

// Another implementation of HPKE opens our files, and seals files that ours opens.
func TestCircl(t *testing.T) {
	s := circl.NewSuite(circl.KEM_XWING, circl.KDF_HKDF_SHA256, circl.AEAD_AES256GCM)
	key := newKey(t)
	seed, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := circl.KEM_XWING.Scheme().UnmarshalBinaryPrivateKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := theirs.Public().MarshalBinary(); err != nil || !bytes.Equal(public, key.PublicKey().Bytes()) {
		t.Fatalf("the two do not make the same public key of a seed (%v)", err)
	}
	file := seal(t, key.PublicKey(), []byte(`{"a":1}`))
	receiver, err := s.NewReceiver(theirs, info(document))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := receiver.Setup(file[HeaderSize : HeaderSize+EncapsulatedKey])
	if err != nil {
		t.Fatal(err)
	}
	var plain []byte
	for rest := file[HeaderSize+EncapsulatedKey:]; len(rest) > 0; rest = rest[sealedSegment:] {
		part, err := opener.Open(rest[1:sealedSegment], rest[:1])
		if err != nil {
			t.Fatal(err)
		}
		plain = append(plain, part...)
	}
	if !bytes.HasPrefix(plain, []byte("\x01\x00\x00\x00\x07{\"a\":1}\x00")) || len(plain) != 4*SegmentSize {
		t.Errorf("%q…", plain[:20])
	}
	sender, err := s.NewSender(theirs.Public(), info(document))
	if err != nil {
		t.Fatal(err)
	}
	enc, sealer, err := sender.Setup(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := append(bytes.Clone(header[:]), enc...)
	for i, flag := range []byte{0, 0, 0, 1} {
		c, err := sealer.Seal(plain[i*SegmentSize:(i+1)*SegmentSize], []byte{flag})
		if err != nil {
			t.Fatal(err)
		}
		made = append(append(made, flag), c...)
	}
	if got, _, err := open(made, Recipient{key, document}); err != nil || string(got) != `{"a":1}` {
		t.Errorf("%q %v", got, err)
	}
}

func TestDigest(t *testing.T) {
	of := func(chunks ...piece) [32]byte {
		d := NewDigest()
		for _, c := range chunks {
			d.Add(c.set, c.index, c.data)
		}
		return d.Sum()
	}
	seen := map[[32]byte]bool{}
	for _, c := range [][]piece{
		{}, {{"a", 0, nil}}, {{"a", 1, nil}}, {{"b", 0, nil}}, {{"a", 0, []byte{0}}}, {{"a", 0, nil}, {"a", 1, nil}}, {{"a", 1, nil}, {"a", 0, nil}},
	} {
		seen[of(c...)] = true
	}
	if len(seen) != 7 {
		t.Errorf("%d digests of 7 lists", len(seen))
	}
	if of() != sha256.Sum256(nil) || of(piece{"a", 1, []byte("xy")}) != sha256.Sum256([]byte("\x02\x00\x00\x00\x08\x01a\x00\x00\x00\x01xy")) {
		t.Error("the digest is not that of the records")
	}
}

func TestPaddedSegments(t *testing.T) {
	for n, want := range map[uint64]uint64{0: 4, 1: 4, 4: 4, 5: 8, 63: 64, 64: 64, 65: 68, 128: 128, 129: 136, 6400: 6400, 6401: 6656} {
		if got := paddedSegments(n); got != want {
			t.Errorf("%d segments are padded to %d, not %d", n, got, want)
		}
	}
}

type failing struct{ after int }

var errFull = errors.New("no space left")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// A stick that is full is told, wherever that happens.
func TestWriterFails(t *testing.T) {
	key := newKey(t)
	for _, after := range []int{0, 2000, 30_000, 60_000} {
		w, err := NewWriter(&failing{after}, key.PublicKey(), document, []byte("{}"))
		if err == nil {
			_ = w.Chunk("bundle", 0, make([]byte, 40_000))
			err = w.Close()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("full after %d bytes: %v", after, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	seed := sha256.Sum256([]byte("the fuzzer's key"))
	key, err := hpke.MLKEM768X25519().NewPrivateKey(seed[:])
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{1, 0, 0, 0, 2, '{', '}', 0}, byte(4))
	f.Add([]byte{1, 0, 0, 0, 2, '{', '}', 2, 0, 0, 0, 7, 1, 'a', 0, 0, 0, 1, 'x', 0}, byte(4))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff}, byte(1))
	// What is fuzzed is what stands behind the seal: before it nothing is parsed but bytes of fixed places.
	f.Fuzz(func(t *testing.T, plain []byte, segments byte) {
		flags := make([]byte, segments%8+1)
		flags[len(flags)-1] = flagLast
		if len(plain) > len(flags)*SegmentSize {
			plain = plain[:len(flags)*SegmentSize]
		}
		file := raw(t, key.PublicKey(), flags, plain...)
		presentation, chunks, err := open(file, Recipient{key, document})
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		// What is read is what would be written.
		again := seal(t, key.PublicKey(), presentation, chunks...)
		if len(again) != len(file) {
			t.Fatalf("read from %d bytes, written as %d", len(file), len(again))
		}
	})
}

func FuzzHeader(f *testing.F) {
	key := newKey(f)
	f.Add(header[:])
	f.Add(seal(f, key.PublicKey(), []byte("{}"))[:3000])
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, _, err := open(file, Recipient{key, document}); err == nil {
			t.Fatal("a file that nobody sealed was opened")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	key := newKey(b)
	data := random(1 << 20)
	b.SetBytes(64 << 20)
	for b.Loop() {
		w, err := NewWriter(io.Discard, key.PublicKey(), document, []byte("{}"))
		for i := range 64 {
			err = errors.Join(err, w.Chunk("bundle", uint32(i), data))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	key := newKey(b)
	data := random(1 << 20)
	var out bytes.Buffer
	w, err := NewWriter(&out, key.PublicKey(), document, []byte("{}"))
	for i := range 64 {
		err = errors.Join(err, w.Chunk("bundle", uint32(i), data))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(64 << 20)
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(out.Bytes()), 1<<30, []Recipient{{key, document}})
		for err == nil {
			_, err = r.Next()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}
