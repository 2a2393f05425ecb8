package vectors

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/exchange/voprf"
)

// Files returns all vectors as JSON files, by name. All but the voprf proof and the seal of the file, which are random, is the same every time.
func Files() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for name, create := range map[string]func() (any, error){
		"merkle.json":  func() (any, error) { return Merkle() },
		"noise.json":   func() (any, error) { return Noise() },
		"voprf.json":   func() (any, error) { return VOPRF() },
		"file.json":    func() (any, error) { return File() },
		"answers.json": func() (any, error) { return Answers() },
		"changes.json": func() (any, error) { return Changes() },
	} {
		v, err := create()
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		data, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: %w", name, err)
		}
		files[name] = append(data, '\n')
	}
	return files, nil
}

func be64(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// word returns 32 made-up bytes.
func word(label string, i int) [32]byte {
	return sha256.Sum256(append([]byte("ihyid test vector "+label), be64(i)...))
}

// words returns the made-up words of some numbers.
func words(label string, numbers ...int) (list [][32]byte, out []Hex) {
	for _, i := range numbers {
		w := word(label, i)
		list, out = append(list, w), append(out, Hex(w[:]))
	}
	return list, out
}

// LargeEntry returns entry i of the large set.
func LargeEntry(i int) []byte {
	h := sha512.Sum512(be64(i))
	return append(be64(i), h[:56]...)
}

// Merkle makes merkle.json.
func Merkle() (*MerkleVectors, error) {
	v := &MerkleVectors{
		Comment: "Committed sets. In large, entry i is uint64 i (big-endian) followed by the first 56 bytes of its SHA-512.",
		Chunks:  map[int]int{},
	}
	for _, size := range []int{16, 32, 37, 52, 64, 72} {
		v.Chunks[size] = merkle.ChunkEntries(size)
	}
	for _, n := range []uint64{0, 1, 256, 257, 4096, 8192, 8193, 20_000, 1_000_000, 1<<20 + 1} {
		v.Padding = append(v.Padding, PaddedCount{n, merkle.PaddedCount(n)})
	}
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 13} {
		s := SmallSet{EntrySize: 16, Proofs: [][]merkle.Hash{}}
		for i := range n {
			w := word("entry", i)
			s.Entries = append(s.Entries, append(be64(i), w[:8]...)...)
		}
		c, err := merkle.Commit(s.Entries, s.EntrySize)
		if err != nil {
			return nil, err
		}
		s.Root, s.Committed = c.Root, c
		for i := range n {
			p, err := c.Prove(uint64(i), s.Entries)
			if err != nil {
				return nil, err
			}
			s.Proofs = append(s.Proofs, slices.Concat([]merkle.Hash{}, p))
		}
		v.Small = append(v.Small, s)
	}
	const count = 40_000
	var large []byte
	for i := range count {
		large = append(large, LargeEntry(i)...)
	}
	c, err := merkle.Commit(large, noise.EntrySize)
	if err != nil {
		return nil, err
	}
	v.Large = LargeSet{Count: count, Committed: c, Proofs: map[int][]merkle.Hash{}}
	for _, i := range []int{0, 16_383, 16_384, 39_999} {
		chunk := i / c.ChunkEntries * c.ChunkEntries * c.EntrySize
		p, err := c.Prove(uint64(i), large[chunk:min(chunk+c.ChunkEntries*c.EntrySize, len(large))])
		if err != nil {
			return nil, err
		}
		v.Large.Proofs[i] = p
	}
	return v, nil
}

// untrue returns a copy of the first claim, bent.
func untrue(why string, claims []byte, size int, bend func(claim []byte)) Untrue {
	c := bytes.Clone(claims[:size])
	bend(c)
	return Untrue{why, c}
}

// Noise makes noise.json.
func Noise() (*NoiseVectors, error) {
	seed, transcript := word("noise seed", 0), word("transcript", 0)
	theirs, theirsHex := words("digest", 0, 1, 2, 3, 4, 5)
	ours, oursHex := words("digest", 9, 4, 2, 7, 5)
	set, err := noise.Build(theirs, seed)
	if err != nil {
		return nil, err
	}
	v := &NoiseVectors{
		Comment:   "Protocol noise. The digests 2, 4 and 5 are common; the last is shared by two of the responder's contacts, whose second row is the complement of the first.",
		Seed:      seed[:],
		Initiator: theirsHex, Responder: oursHex,
		Entries: set.Entries, Transcript: transcript[:],
	}
	if v.Committed, err = merkle.Commit(set.Entries, noise.EntrySize); err != nil {
		return nil, err
	}
	for i := range ours {
		r := word("responder row", i)
		v.Rows = append(v.Rows, r[:answer.RowSize])
	}
	var claims []noise.Claim
	err = noise.NewMatcher(ours).Match(context.Background(), set.Entries, 0, func(s noise.Step) error {
		for _, h := range s.Hits {
			row := answer.Row(v.Rows[h.Digest])
			rows := []answer.Row{row}
			if h.Digest == len(ours)-1 {
				rows = append(rows, complement(row))
			}
			for _, row := range rows {
				c, err := noise.NewClaim(set.Entries, h.Entry, &ours[h.Digest], row, &transcript)
				if err != nil {
					return err
				}
				claims = append(claims, c)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if v.Claims, err = noise.EncodeClaims(claims); err != nil {
		return nil, err
	}
	if v.Claimed, err = merkle.Commit(v.Claims, noise.ClaimSize); err != nil {
		return nil, err
	}
	otherEntry := binary.BigEndian.Uint32(v.Claims[len(v.Claims)-noise.ClaimSize:])
	otherTranscript := word("transcript", 1)
	first := claims[0]
	i, _ := set.Digest(int(first.Entry))
	replay, err := noise.NewClaim(set.Entries, int(first.Entry), &theirs[i], first.Row, &otherTranscript)
	if err != nil {
		return nil, err
	}
	v.Untrue = []Untrue{
		untrue("one bit of the MAC differs", v.Claims, noise.ClaimSize, func(c []byte) { c[noise.ClaimSize-1] ^= 1 }),
		untrue("it is of another entry", v.Claims, noise.ClaimSize, func(c []byte) { binary.BigEndian.PutUint32(c, otherEntry) }),
		untrue("it is of another session", v.Claims, noise.ClaimSize, func(c []byte) { copy(c[20:], replay.MAC[:]) }),
	}
	return v, nil
}

func complement(r answer.Row) answer.Row {
	for i := range r {
		r[i] ^= 0xff
	}
	return r
}

// VOPRF makes voprf.json.
func VOPRF() (*VOPRFVectors, error) {
	ctx := context.Background()
	blindSeed, tagSeed, transcript, secret := word("blind seed", 0), word("tag seed", 0), word("transcript", 0), word("key", 0)
	secret[31] &= 0x0f // below the order of the group
	key, err := voprf.ParseKey(secret[:])
	if err != nil {
		return nil, err
	}
	theirs, theirsHex := words("digest", 0, 1, 2, 3, 4, 5)
	ours, oursHex := words("digest", 9, 4, 2, 7, 5)
	set, err := voprf.Blind(ctx, theirs, blindSeed, nil)
	if err != nil {
		return nil, err
	}
	v := &VOPRFVectors{
		Comment: "Protocol voprf. The digests 2, 4 and 5 are common; the last is shared by two of the initiator's contacts, whose second row is the complement of the first. The proof is one of many.",
		Key:     secret[:], PublicKey: key.Public().Bytes(), BlindSeed: blindSeed[:], TagSeed: tagSeed[:],
		Initiator: theirsHex, Responder: oursHex,
		Points: set.Points, Transcript: transcript[:], Set: 3,
	}
	if v.Committed, err = merkle.Commit(set.Points, voprf.PointSize); err != nil {
		return nil, err
	}
	evaluated, proof, err := key.Evaluate(ctx, set.Chunk(0))
	if err != nil {
		return nil, err
	}
	v.Evaluated, v.Proof = evaluated, proof[:]
	outputs := make([]voprf.Output, len(theirs))
	if err := set.Unblind(ctx, key.Public(), 0, evaluated, proof[:], outputs); err != nil {
		return nil, err
	}
	for i := range outputs {
		v.Outputs = append(v.Outputs, bytes.Clone(outputs[i][:]))
		r := word("initiator row", i)
		v.Rows = append(v.Rows, r[:answer.RowSize])
	}
	responders := make([]voprf.Output, len(ours))
	if err := key.Outputs(ctx, ours, responders); err != nil {
		return nil, err
	}
	tags, err := voprf.NewTagSet(responders, tagSeed)
	if err != nil {
		return nil, err
	}
	v.Tags = tags.Tags
	if v.TagsRoot, err = merkle.Commit(tags.Tags, voprf.TagSize); err != nil {
		return nil, err
	}
	var claims []voprf.Claim
	for _, i := range voprf.Common(outputs, tags.Tags) {
		row := answer.Row(v.Rows[i])
		rows := []answer.Row{row}
		if i == len(theirs)-1 {
			rows = append(rows, complement(row))
		}
		for _, row := range rows {
			c, err := set.Claim(v.Set, i, row, &outputs[i], &transcript)
			if err != nil {
				return nil, err
			}
			claims = append(claims, c)
		}
	}
	if v.Claims, err = voprf.EncodeClaims(claims); err != nil {
		return nil, err
	}
	if v.Claimed, err = merkle.Commit(v.Claims, voprf.ClaimSize); err != nil {
		return nil, err
	}
	otherTranscript := word("transcript", 1)
	first := claims[0]
	i, _ := set.Digest(int(first.Index))
	replay, err := set.Claim(v.Set, i, first.Row, &outputs[i], &otherTranscript)
	if err != nil {
		return nil, err
	}
	other := claims[len(claims)-1]
	v.Untrue = []Untrue{
		untrue("one bit of the seal differs", v.Claims, voprf.ClaimSize, func(c []byte) { c[voprf.ClaimSize-1] ^= 1 }),
		untrue("it is of another point", v.Claims, voprf.ClaimSize, func(c []byte) { binary.BigEndian.PutUint32(c[4:], other.Index) }),
		untrue("it is of another set", v.Claims, voprf.ClaimSize, func(c []byte) { binary.BigEndian.PutUint32(c, v.Set-1) }),
		untrue("it is of another session", v.Claims, voprf.ClaimSize, func(c []byte) { copy(c[40:], replay.Sealed[:]) }),
		untrue("its tag is another's", v.Claims, voprf.ClaimSize, func(c []byte) { copy(c[24:40], other.Tag[:]) }),
	}
	return v, nil
}

// Changes makes changes.json.
func Changes() (*ChangeVectors, error) {
	row := func(label string, i int) answer.Row { w := word(label, i); return answer.Row(w[:answer.RowSize]) }
	claim := func(set, index uint32, r int) voprf.Claim {
		tag, sealed := word("tag", int(set<<8|index)), word("sealed", int(set<<8|index))
		return voprf.Claim{Set: set, Index: index, Row: row("initiator row", r), Tag: [voprf.TagSize]byte(tag[:]), Sealed: sealed}
	}
	back := func(set, index uint32, r int) voprf.Claim {
		return voprf.Withdrawal(set, index, row("initiator row", r))
	}
	v := &ChangeVectors{
		Comment: "Changes within an epoch. Contact 0 of the initiator has left, contact 1 has another digest now, contact 3 is new and shares one with contact 2; one of the responder's contacts has left. Tags and seals are made up: what is shown is the form, and what stands.",
		Sizes:   []uint32{256, 256},
	}
	standing := []voprf.Claim{claim(0, 4, 0), claim(0, 4, 1), claim(0, 9, 2), claim(0, 200, 2)}
	changes := []voprf.Claim{back(0, 4, 0), back(0, 4, 1), claim(1, 7, 1), claim(0, 9, 3)}
	var err1, err2, err3, err4 error
	v.Standing, err1 = voprf.EncodeClaims(standing)
	v.Claims, err2 = voprf.EncodeClaims(changes)
	v.Claimed, err3 = merkle.Commit(v.Claims, voprf.ClaimSize)
	for _, c := range []voprf.Claim{claim(0, 9, 2), claim(0, 9, 3), claim(0, 200, 2), claim(1, 7, 1)} {
		v.After = append(v.After, ClaimedRow{c.Set, c.Index, bytes.Clone(c.Row[:])})
	}
	slices.SortFunc(v.After, func(a, b ClaimedRow) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(a.Index, b.Index), bytes.Compare(a.Row, b.Row))
	})
	encoded := func(why string, claims ...voprf.Claim) Untrue {
		data, err := voprf.EncodeClaims(claims)
		err4 = errors.Join(err4, err)
		return Untrue{why, data}
	}
	one := encoded("", back(0, 4, 0)).Claim
	four := bytes.Clone(encoded("", back(0, 4, 0), back(0, 4, 1), back(0, 4, 2)).Claim)
	last := bytes.Clone(one)
	copy(last[8:24], bytes.Repeat([]byte{0xff}, 16))
	v.Invalid = []Untrue{
		{"a claim is taken back twice", slices.Concat(one, one)},
		{"four claims of one point are taken back", slices.Concat(four, last)},
		untrue("of a point that is not there", one, voprf.ClaimSize, func(c []byte) { binary.BigEndian.PutUint32(c[4:], 256) }),
		untrue("of a set that is not there", one, voprf.ClaimSize, func(c []byte) { binary.BigEndian.PutUint32(c, 2) }),
	}
	v.Mismatch = []Untrue{
		encoded("takes back what does not stand", back(0, 5, 0)),
		encoded("takes back another row's claim", back(0, 9, 0)),
		encoded("claims what stands", claim(0, 9, 2)),
		encoded("a fourth row of one point", claim(0, 9, 3), claim(0, 9, 4), claim(0, 9, 5)),
	}
	ours := func(i int) answer.Row { return row("responder row", i) }
	pairs := []answer.Answer{
		{Initiator: row("initiator row", 0), Responder: ours(0), Keys: 1, Tier: answer.Match},
		{Initiator: row("initiator row", 1), Responder: ours(0), Keys: 1, Tier: answer.Possible},
		{Initiator: row("initiator row", 2), Responder: ours(1), Keys: 3, Tier: answer.Match},
	}
	answers := []answer.Answer{
		{Initiator: row("initiator row", 0), Responder: ours(0), Tier: answer.Withdrawn},              // the pair is no more
		{Initiator: row("initiator row", 1), Responder: ours(0), Keys: 1 << 2, Tier: answer.Possible}, // on another key
		{Initiator: row("initiator row", 3), Tier: answer.Withdrawn},                                  // the claimed contact is no more
	}
	whole := []answer.Answer{answers[1], pairs[2]}
	var err5, err6, err7, err8 error
	v.Pairs, err5 = answer.Encode(pairs)
	v.Answers, err6 = answer.Encode(answers)
	v.Whole, err7 = answer.Encode(whole)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return nil, err
	}
	if v.Answered, err8 = merkle.Commit(v.Answers, answer.Size); err8 != nil {
		return nil, err8
	}
	c, err := merkle.Commit(v.Whole, answer.Size)
	if err != nil {
		return nil, err
	}
	v.WholeRoot = c.Root
	return v, nil
}

// Answers makes answers.json.
func Answers() (*AnswerVectors, error) {
	row := func(label string, i int) answer.Row { w := word(label, i); return answer.Row(w[:answer.RowSize]) }
	list := []answer.Answer{
		{Initiator: row("initiator row", 0), Responder: row("responder row", 0), Keys: 1, Tier: answer.Match},
		{Initiator: row("initiator row", 0), Responder: row("responder row", 1), Keys: 1 << 31, Tier: answer.Possible},
		{Initiator: row("initiator row", 1), Responder: row("responder row", 1), Keys: 1<<2 | 1<<5, Tier: answer.Match},
		{Initiator: row("initiator row", 2), Tier: answer.Withdrawn},
	}
	encoded, err := answer.Encode(list)
	if err != nil {
		return nil, err
	}
	v := &AnswerVectors{
		Comment: "Answers, in encoded order. In encoded, bit i of the bitmap is match key number i of the profile.",
		Encoded: encoded,
	}
	for _, a := range list {
		w := Answer{Initiator: bytes.Clone(a.Initiator[:]), Responder: bytes.Clone(a.Responder[:]), Keys: []int{}, Tier: a.Tier.String()}
		for k := range 32 {
			if a.Keys>>k&1 == 1 {
				w.Keys = append(w.Keys, k)
			}
		}
		v.Answers = append(v.Answers, w)
	}
	if v.Committed, err = merkle.Commit(encoded, answer.Size); err != nil {
		return nil, err
	}
	first, second := encoded[:answer.Size], encoded[answer.Size:2*answer.Size]
	v.Invalid = []Untrue{
		{"out of order", slices.Concat(second, first)},
		{"a pair is there twice", slices.Concat(first, first)},
		{"half an answer", first[:20]},
		untrue("no match key", first, answer.Size, func(b []byte) { clear(b[32:36]) }),
		untrue("no such tier", first, answer.Size, func(b []byte) { b[36] = 4 }),
		untrue("tier zero", first, answer.Size, func(b []byte) { b[36] = 0 }),
		untrue("withdrawn with match keys", first, answer.Size, func(b []byte) { b[36] = 3 }),
	}
	return v, nil
}
