package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// slowRoot is RFC 6962, section 2.1, word for word.
func slowRoot(entries [][]byte) (out Hash) {
	switch n := len(entries); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, entries[0]...))
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := slowRoot(entries[:k]), slowRoot(entries[k:])
		return sha256.Sum256(slices.Concat([]byte{1}, l[:], r[:]))
	}
}

func split(data []byte, size int) (out [][]byte) {
	for ; len(data) > 0; data = data[size:] {
		out = append(out, data[:size])
	}
	return out
}

// ascending returns n entries, reproducibly and in order.
func ascending(n, size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]byte, n*size)
	for i := range n {
		entry := out[i*size : (i+1)*size]
		binary.BigEndian.PutUint64(entry, uint64(i)<<32|uint64(r.Uint32()))
		for k := 8; k < size; k++ {
			entry[k] = byte(r.Uint32())
		}
	}
	return out
}

func TestRFC6962Roots(t *testing.T) {
	file, err := os.ReadFile("testdata/rfc6962-roots.txt")
	if err != nil {
		t.Fatal(err)
	}
	var leaves []Hash
	var entries [][]byte
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if f[0] != "." {
			entry, err := hex.DecodeString(strings.Trim(f[0], "-"))
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, entry)
			leaves = append(leaves, LeafHash(entry))
		}
		if got := Fold(leaves).String(); got != f[1] {
			t.Errorf("root of %d leaves: got %s, want %s", len(leaves), got, f[1])
		}
		if slowRoot(entries) != Fold(leaves) {
			t.Errorf("the test's own tree differs at %d leaves", len(leaves))
		}
	}
	if len(leaves) != 8 {
		t.Fatalf("read %d leaves", len(leaves))
	}
}

func TestLeafHashOfLongEntries(t *testing.T) {
	for _, n := range []int{0, 64, 126, 127, 128, 129, 5000} {
		entry := ascending(n/8+1, 8, 1)[:n]
		if LeafHash(entry) != sha256.Sum256(append([]byte{0}, entry...)) {
			t.Errorf("%d bytes: wrong leaf hash", n)
		}
	}
}

func TestChunkEntries(t *testing.T) {
	for size, want := range map[int]int{
		0: 0, -1: 0, MaxEntrySize + 1: 0,
		1: 32768, 16: 32768, 32: 32768, 33: 16384, 37: 16384, 52: 16384, 64: 16384, 65: 8192, 72: 8192, 1024: 1024,
	} {
		if got := ChunkEntries(size); got != want {
			t.Errorf("entries of %d bytes: got %d, want %d", size, got, want)
		}
	}
}

func TestPaddedCount(t *testing.T) {
	for n, want := range map[uint64]uint64{
		0: 256, 1: 256, 255: 256, 256: 256, 257: 512, 4096: 4096, 4097: 4352, 8191: 8192, 8192: 8192, 8193: 8704,
		16385: 17408, 20_000: 20_480, 100_000: 102_400, 1_000_000: 1_015_808, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1<<16,
	} {
		if got := PaddedCount(n); got != want {
			t.Errorf("%d: got %d, want %d", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, MaxCount).Draw(t, "n")
		step := uint64(256)
		for p := uint64(1); p <= n; p *= 2 {
			step = max(256, p/16)
		}
		got := PaddedCount(n)
		if got < n || got-n >= step || got%step != 0 {
			t.Fatalf("%d padded to %d, step %d", n, got, step)
		}
		if PaddedCount(got) != got {
			t.Fatalf("%d is not a fixed point", got)
		}
	})
}

// The builder, the parallel builder and the RFC's recursion agree, whatever the chunk size and however the entries come.
func TestBuildersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		size := rapid.IntRange(8, 80).Draw(t, "size")
		per := 1 << rapid.IntRange(0, 6).Draw(t, "log chunk")
		data := ascending(n, size, rapid.Uint64().Draw(t, "seed"))
		b := newBuilder(size, per)
		for rest := data; len(rest) > 0; {
			k := rapid.IntRange(1, len(rest)/size).Draw(t, "run") * size
			if err := b.Append(rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		c := b.Commitment()
		if c.Root != slowRoot(split(data, size)) {
			t.Fatal("the builder's root is not RFC 6962's")
		}
		all, err := Commit(data, size)
		if err != nil {
			t.Fatal(err)
		}
		if all.Root != c.Root || all.Count != c.Count {
			t.Fatal("the root depends on the chunk size")
		}
		for i := range c.Chunks() {
			part := data[i*per*size : min((i+1)*per*size, len(data))]
			if c.ChunkRoots[i] != slowRoot(split(part, size)) {
				t.Fatalf("chunk %d: its root is not that of its entries", i)
			}
			if len(part) != c.ChunkLen(i)*size {
				t.Fatalf("chunk %d: %d entries", i, c.ChunkLen(i))
			}
		}
	})
}

func TestCommitmentGrowsAndKeepsNothingShared(t *testing.T) {
	data := ascending(40, 16, 1)
	b := newBuilder(16, 16)
	if err := b.Append(data[:20*16]); err != nil {
		t.Fatal(err)
	}
	early := b.Commitment()
	before := early.ChunkRoots[1]
	if err := b.Append(data[20*16:]); err != nil {
		t.Fatal(err)
	}
	if early.ChunkRoots[1] != before || early.Root != slowRoot(split(data[:20*16], 16)) {
		t.Error("adding entries changed a commitment already given out")
	}
	if b.Commitment().Root != slowRoot(split(data, 16)) {
		t.Error("wrong root after growing")
	}
}

func TestBuildersRefuse(t *testing.T) {
	good := ascending(3*MaxChunkEntries, 8, 1)
	swap := func(i int) []byte { // entries i-1 and i change places
		d := bytes.Clone(good)
		copy(d[(i-1)*8:], good[i*8:(i+1)*8])
		copy(d[i*8:], good[(i-1)*8:i*8])
		return d
	}
	twice := bytes.Clone(good)
	copy(twice[16:], twice[8:16])
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"twice":             {twice, ErrOrder},
		"descending":        {swap(1), ErrOrder},
		"in a middle chunk": {swap(MaxChunkEntries + 77), ErrOrder},
		"across chunks":     {swap(2 * MaxChunkEntries), ErrOrder},
		"at the end":        {swap(3*MaxChunkEntries - 1), ErrOrder},
		"half an entry":     {good[:12], ErrEntrySize},
	} {
		b, err := NewBuilder(8)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Append(tc.data); !errors.Is(err, tc.want) {
			t.Errorf("%s: builder: %v", name, err)
		}
		if _, err := Commit(tc.data, 8); !errors.Is(err, tc.want) {
			t.Errorf("%s: Commit: %v", name, err)
		}
	}
	for _, size := range []int{0, -4, MaxEntrySize + 1} {
		if _, err := NewBuilder(size); !errors.Is(err, ErrEntrySize) {
			t.Errorf("entries of %d bytes: %v", size, err)
		}
		if _, err := Commit(nil, size); !errors.Is(err, ErrEntrySize) {
			t.Errorf("entries of %d bytes: Commit: %v", size, err)
		}
	}
}

// testSet returns a set of n entries in chunks of per.
func testSet(t testing.TB, n, size, per int) (*Commitment, []byte, func(int) []byte) {
	t.Helper()
	data := ascending(n, size, uint64(n))
	b := newBuilder(size, per)
	if err := b.Append(data); err != nil {
		t.Fatal(err)
	}
	return b.Commitment(), data, func(i int) []byte {
		return bytes.Clone(data[i*per*size : min((i+1)*per*size, len(data))])
	}
}

func TestVerifyChunk(t *testing.T) {
	const size, per = 16, 8
	c, data, chunk := testSet(t, 37, size, per)
	entry := func(i int) []byte { return data[i*size : (i+1)*size] }
	for i := range c.Chunks() {
		var beside Neighbours
		if i > 0 {
			beside.Before = entry(i*per - 1)
		}
		if i+1 < c.Chunks() {
			beside.After = entry((i + 1) * per)
		}
		for _, n := range []Neighbours{{}, beside} {
			if err := c.VerifyChunk(i, chunk(i), n); err != nil {
				t.Errorf("chunk %d: %v", i, err)
			}
		}
	}
	flip := chunk(1)
	flip[5*size-1] ^= 1
	turned := chunk(1)
	copy(turned, entry(per+1))
	copy(turned[size:], entry(per))
	for name, tc := range map[string]struct {
		i      int
		data   []byte
		beside Neighbours
		order  bool
	}{
		"no such chunk":             {5, chunk(4), Neighbours{}, false},
		"negative":                  {-1, chunk(0), Neighbours{}, false},
		"empty":                     {0, nil, Neighbours{}, false},
		"short":                     {0, chunk(0)[size:], Neighbours{}, false},
		"long":                      {4, chunk(3), Neighbours{}, false},
		"another chunk":             {0, chunk(1), Neighbours{}, false},
		"one bit":                   {1, flip, Neighbours{}, false},
		"out of order":              {1, turned, Neighbours{}, true},
		"the one before is above":   {1, chunk(1), Neighbours{Before: entry(per + 1)}, true},
		"the one before is as high": {1, chunk(1), Neighbours{Before: entry(per)}, true},
		"the one after is below":    {1, chunk(1), Neighbours{After: entry(per)}, true},
		"the one after is as high":  {1, chunk(1), Neighbours{After: entry(2*per - 1)}, true},
	} {
		err := c.VerifyChunk(tc.i, tc.data, tc.beside)
		if !errors.Is(err, ErrChunk) || errors.Is(err, ErrOrder) != tc.order {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A set that is not ascending across a chunk border can be committed to by a cheat. It is found
// when the later of the two chunks arrives, in either order of arrival.
func TestDisorderAcrossChunksIsFound(t *testing.T) {
	const size, per = 8, 4
	data := ascending(8, size, 1)
	swapped := append(bytes.Clone(data[4*size:]), data[:4*size]...)
	c := &Commitment{EntrySize: size, Count: 8, ChunkEntries: per,
		ChunkRoots: []Hash{rootOf(swapped[:4*size], size), rootOf(swapped[4*size:], size)}}
	c.Root = Fold(c.ChunkRoots)
	first, second := swapped[:4*size], swapped[4*size:]
	if err := c.VerifyChunk(0, first, Neighbours{}); err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyChunk(1, second, Neighbours{Before: first[3*size:]}); !errors.Is(err, ErrOrder) {
		t.Errorf("second chunk last: %v", err)
	}
	if err := c.VerifyChunk(0, first, Neighbours{After: second[:size]}); !errors.Is(err, ErrOrder) {
		t.Errorf("first chunk last: %v", err)
	}
}

func TestInclusion(t *testing.T) {
	const size = 12
	for _, n := range []int{1, 2, 3, 7, 8, 9, 31, 32, 33, 50} {
		for _, per := range []int{1, 8, 32} {
			c, data, chunk := testSet(t, n, size, per)
			for i := range uint64(n) {
				entry := data[i*size : (i+1)*size]
				proof, err := c.Prove(i, chunk(int(i)/per))
				if err != nil {
					t.Fatal(err)
				}
				if err := c.VerifyEntry(i, entry, proof); err != nil {
					t.Fatalf("entry %d of %d: %v", i, n, err)
				}
				for j := range uint64(n) + 2 {
					if j != i && VerifyInclusion(c.Root, c.Count, j, LeafHash(entry), proof) == nil {
						t.Fatalf("the proof of %d of %d passes for %d", i, n, j)
					}
				}
				wrong := bytes.Clone(entry)
				wrong[0] ^= 1
				if c.VerifyEntry(i, wrong, proof) == nil || c.VerifyEntry(i, entry[1:], proof) == nil {
					t.Fatal("the proof passes for another entry")
				}
				if VerifyInclusion(c.Root, c.Count, i, LeafHash(entry), append(slices.Clone(proof), Hash{})) == nil {
					t.Fatal("a proof that is too long passes")
				}
				for k := range proof {
					bent := slices.Clone(proof)
					bent[k][7] ^= 0x10
					if !errors.Is(VerifyInclusion(c.Root, c.Count, i, LeafHash(entry), bent), ErrProof) {
						t.Fatal("a bent proof passes")
					}
					if VerifyInclusion(c.Root, c.Count, i, LeafHash(entry), proof[:k]) == nil {
						t.Fatal("a proof that is too short passes")
					}
				}
			}
			if _, err := c.Prove(uint64(n), chunk(0)); !errors.Is(err, ErrProof) {
				t.Errorf("an entry that is not there: %v", err)
			}
			if _, err := c.Prove(0, chunk(0)[1:]); !errors.Is(err, ErrChunk) {
				t.Errorf("a chunk that is short: %v", err)
			}
		}
	}
	if VerifyInclusion(emptyRoot, 0, 0, emptyRoot, nil) == nil {
		t.Error("something is in the empty tree")
	}
}

func TestValidate(t *testing.T) {
	data := ascending(20_000, 64, 3)
	good, err := Commit(data, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Validate(64, 20_000); err != nil {
		t.Fatal(err)
	}
	empty, err := Commit(nil, 64)
	if err != nil || empty.Validate(64, 0) != nil || empty.Root != emptyRoot || empty.Chunks() != 0 {
		t.Fatalf("the empty set: %v, %+v", err, empty)
	}
	for name, change := range map[string]func(*Commitment){
		"entry size":      func(c *Commitment) { c.EntrySize = 32 },
		"too many":        func(c *Commitment) { c.Count++ },
		"beyond any set":  func(c *Commitment) { c.Count = MaxCount + 1 },
		"overflow":        func(c *Commitment) { c.Count = 1<<64 - 1 },
		"chunk size":      func(c *Commitment) { c.ChunkEntries = 8192 },
		"chunk size zero": func(c *Commitment) { c.ChunkEntries = 0 },
		"fewer entries":   func(c *Commitment) { c.Count = 16384 },
		"a root less":     func(c *Commitment) { c.ChunkRoots = c.ChunkRoots[:1] },
		"no roots":        func(c *Commitment) { c.ChunkRoots = nil },
		"a root more":     func(c *Commitment) { c.ChunkRoots = append(slices.Clone(c.ChunkRoots), Hash{}) },
		"another root":    func(c *Commitment) { c.Root[31] ^= 1 },
		"roots swapped":   func(c *Commitment) { c.ChunkRoots = []Hash{c.ChunkRoots[1], c.ChunkRoots[0]} },
	} {
		c := *good
		change(&c)
		if err := c.Validate(64, 20_000); !errors.Is(err, ErrCommitment) {
			t.Errorf("%s: %v", name, err)
		}
		if c.Equal(good) {
			t.Errorf("%s: still equal", name)
		}
	}
	if err := good.Validate(0, 20_000); !errors.Is(err, ErrCommitment) {
		t.Errorf("entries of no size: %v", err)
	}
}

func TestJSON(t *testing.T) {
	for _, n := range []int{0, 1, 40_000} {
		c, err := Commit(ascending(n, 32, 9), 32)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Commitment
		if err := json.Unmarshal(out, &back); err != nil || !back.Equal(c) {
			t.Fatalf("%d entries: %v\n%s", n, err, out)
		}
		var indented bytes.Buffer
		if err := json.Indent(&indented, out, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		if err := new(Commitment).UnmarshalJSON(indented.Bytes()); err != nil {
			t.Errorf("indented: %v", err)
		}
	}
}

func TestJSONRefuses(t *testing.T) {
	root := LeafHash([]byte("entry678")).String()
	good := `{"chunkEntries":"32768","chunkRoots":["` + root + `"],"count":"1","entrySize":"8","root":"` + root + `"}`
	if err := new(Commitment).UnmarshalJSON([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string][2]string{
		"unknown member":      {`"count"`, `"x":"1","count"`},
		"member twice":        {`"count"`, `"count":"1","count"`},
		"member missing":      {`"count":"1",`, ``},
		"other case":          {`"count"`, `"Count"`},
		"number":              {`"1"`, `1`},
		"sign":                {`"1"`, `"+1"`},
		"leading zero":        {`"1"`, `"01"`},
		"space":               {`"1"`, `" 1"`},
		"no number":           {`"1"`, `""`},
		"too many":            {`"1"`, `"67108865"`},
		"beyond 64 bits":      {`"1"`, `"18446744073709551616"`},
		"does not fit":        {`"1"`, `"32769"`},
		"chunk size":          {`"32768"`, `"16384"`},
		"upper-case hash":     {`"root":"` + root, `"root":"` + strings.ToUpper(root)},
		"short hash":          {`"root":"` + root, `"root":"` + root[2:]},
		"no hash":             {`"root":"` + root[:1], `"root":"g`},
		"null":                {`["` + root + `"]`, `null`},
		"nested":              {`["` + root + `"]`, `[["` + root + `"]]`},
		"no object":           {good, `"` + root + `"`},
		"nothing":             {good, ``},
		"unfinished":          {good, good[:len(good)-1]},
		"unfinished array":    {good, good[:60]},
		"something follows":   {good, good + `{}`},
		"bracket follows":     {good, good + `]`},
		"not UTF-8":           {`"count"`, "\"\xff\":\"1\",\"count\""},
		"name is no string":   {`"count"`, `1:"1","count"`},
		"does not fold":       {`"root":"` + root[:1], `"root":"0`},
		"beyond what is read": {good, good + strings.Repeat(" ", maxJSON)},
	} {
		bent := strings.Replace(good, r[0], r[1], 1)
		if bent == good {
			t.Fatalf("%s: changed nothing", name)
		}
		var c Commitment
		if err := c.UnmarshalJSON([]byte(bent)); !errors.Is(err, ErrCommitment) {
			t.Errorf("%s: %v", name, err)
		}
		if c.ChunkRoots != nil {
			t.Errorf("%s: changed the receiver", name)
		}
	}
}

func FuzzCommitmentJSON(f *testing.F) {
	for _, n := range []int{0, 1, 300} {
		c, err := Commit(ascending(n, 16, 5), 16)
		if err != nil {
			f.Fatal(err)
		}
		out, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out)
	}
	f.Add([]byte(`{"chunkEntries":"1","chunkRoots":[],"count":"0","entrySize":"0","root":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Commitment
		if c.UnmarshalJSON(data) != nil {
			return
		}
		if err := c.Validate(c.EntrySize, MaxCount); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Commitment
		if err := json.Unmarshal(out, &back); err != nil || !back.Equal(&c) {
			t.Fatalf("does not survive a round trip: %v", err)
		}
	})
}

func FuzzVerifyInclusion(f *testing.F) {
	c, data, chunk := testSet(f, 21, 8, 8)
	for i := range uint64(21) {
		proof, err := c.Prove(i, chunk(int(i)/8))
		if err != nil {
			f.Fatal(err)
		}
		var flat []byte
		for _, h := range proof {
			flat = append(flat, h[:]...)
		}
		f.Add(i, data[i*8:(i+1)*8], flat)
	}
	f.Fuzz(func(t *testing.T, index uint64, entry, flat []byte) {
		var proof []Hash
		for ; len(flat) >= HashSize; flat = flat[HashSize:] {
			proof = append(proof, Hash(flat[:HashSize]))
		}
		if VerifyInclusion(c.Root, c.Count, index, LeafHash(entry), proof) == nil &&
			!bytes.Equal(entry, data[index*8:(index+1)*8]) {
			t.Fatal("proved an entry that is not in the set")
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	const n = 1 << 18
	for name, size := range map[string]int{"tags-16": 16, "points-32": 32, "noise-64": 64} {
		data := ascending(n, size, 1)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Commit(data, size); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkVerifyChunk(b *testing.B) {
	c, data, _ := testSet(b, 16384, 64, 16384)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.VerifyChunk(0, data, Neighbours{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(16384*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func TestSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 12).Draw(t, "size")
		// Few distinct bytes, so that many entries share their beginning.
		n := rapid.IntRange(0, 60).Draw(t, "n")
		data := rapid.SliceOfN(rapid.ByteRange(0, 2), n*size, n*size).Draw(t, "entries")
		distinct := make(map[string]bool)
		for _, e := range split(data, size) {
			distinct[string(e)] = true
		}
		sorted, from, err := Sort(data, size)
		if len(distinct) < n {
			if !errors.Is(err, ErrOrder) {
				t.Fatalf("equal entries: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if disorder(sorted, size) >= 0 || len(sorted) != len(data) || len(from) != n {
			t.Fatal("not sorted")
		}
		for i, f := range from {
			if !bytes.Equal(sorted[i*size:(i+1)*size], data[int(f)*size:(int(f)+1)*size]) {
				t.Fatal("an entry does not come from where it is said to come from")
			}
		}
	})
	for _, size := range []int{0, 2} {
		if _, _, err := Sort(make([]byte, 3), size); !errors.Is(err, ErrEntrySize) {
			t.Errorf("three bytes in entries of %d: %v", size, err)
		}
	}
}
