package vectors_test

// The second implementation. It is written from the text of the protocol and shares nothing with the packages under exchange: only
// the standard library and github.com/cloudflare/circl. It reads the published files as any foreign implementation would.

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"sort"
	"strconv"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"
)

type octets []byte

func (o *octets) UnmarshalText(b []byte) (err error) {
	*o, err = hex.DecodeString(string(b))
	return err
}

type commitment struct {
	ChunkEntries, Count, EntrySize string
	Root                           octets
	ChunkRoots                     []octets
}

func read(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func h(parts ...[]byte) []byte {
	s := sha256.Sum256(bytes.Join(parts, nil))
	return s[:]
}

func mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(bytes.Join(parts, nil))
	return m.Sum(nil)
}

func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func split(data []byte, size int) (out [][]byte) {
	return slices.Collect(slices.Chunk(data, size))
}

// mth is the Merkle Tree Hash of RFC 6962, section 2.1.
func mth(entries [][]byte) []byte {
	switch n := len(entries); n {
	case 0:
		return h()
	case 1:
		return h([]byte{0}, entries[0])
	default:
		k := below(n)
		return h([]byte{1}, mth(entries[:k]), mth(entries[k:]))
	}
}

// below returns the largest power of two below n.
func below(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// prove is PATH of RFC 6962, section 2.1.1.
func prove(m int, entries [][]byte) [][]byte {
	if len(entries) <= 1 {
		return nil
	}
	if k := below(len(entries)); m < k {
		return append(prove(m, entries[:k]), mth(entries[k:]))
	} else {
		return append(prove(m-k, entries[k:]), mth(entries[:k]))
	}
}

func checkSet(t *testing.T, what string, data []byte, size int, c commitment) {
	t.Helper()
	entries := split(data, size)
	for i := 1; i < len(entries); i++ {
		if bytes.Compare(entries[i-1], entries[i]) >= 0 {
			t.Errorf("%s: entry %d is not above the one before it", what, i)
		}
	}
	per := 1 << 15
	for per*size > 1<<20 {
		per /= 2
	}
	var roots [][]byte
	for chunk := range slices.Chunk(entries, per) {
		roots = append(roots, mth(chunk))
	}
	if c.EntrySize != strconv.Itoa(size) || c.Count != strconv.Itoa(len(entries)) || c.ChunkEntries != strconv.Itoa(per) {
		t.Errorf("%s: the commitment says %s entries of %s bytes, %s a chunk", what, c.Count, c.EntrySize, c.ChunkEntries)
	}
	if !bytes.Equal(c.Root, mth(entries)) {
		t.Errorf("%s: root %x", what, []byte(c.Root))
	}
	if !slices.EqualFunc(c.ChunkRoots, roots, func(a octets, b []byte) bool { return bytes.Equal(a, b) }) {
		t.Errorf("%s: chunk roots differ", what)
	}
}

func padded(n int) int {
	step := 256
	for p := 1; p <= n; p *= 2 {
		step = max(256, p/16)
	}
	return max(256, (n+step-1)/step*step)
}

func TestSecondMerkle(t *testing.T) {
	var v struct {
		Small []struct {
			EntrySize  int
			Entries    octets
			Root       octets
			Proofs     [][]octets
			Commitment commitment
		}
		Large struct {
			Count      int
			Commitment commitment
			Proofs     map[string][]octets
		}
		ChunkEntries map[string]int
		Padding      []struct{ Count, Padded int }
	}
	read(t, "merkle.json", &v)
	same := func(a octets, b []byte) bool { return bytes.Equal(a, b) }
	for _, s := range v.Small {
		checkSet(t, "small set", s.Entries, s.EntrySize, s.Commitment)
		entries := split(s.Entries, s.EntrySize)
		if !bytes.Equal(s.Root, mth(entries)) || len(s.Proofs) != len(entries) {
			t.Errorf("set of %d: root %x, %d proofs", len(entries), []byte(s.Root), len(s.Proofs))
		}
		for i, p := range s.Proofs {
			if !slices.EqualFunc(p, prove(i, entries), same) {
				t.Errorf("set of %d: proof of %d differs", len(entries), i)
			}
		}
	}
	var large []byte
	for i := range v.Large.Count {
		n := binary.BigEndian.AppendUint64(nil, uint64(i))
		s := sha512.Sum512(n)
		large = append(append(large, n...), s[:56]...)
	}
	checkSet(t, "large set", large, 64, v.Large.Commitment)
	for i, p := range v.Large.Proofs {
		n, err := strconv.Atoi(i)
		if err != nil || !slices.EqualFunc(p, prove(n, split(large, 64)), same) {
			t.Errorf("large set: proof of %s differs, %v", i, err)
		}
	}
	for size, want := range v.ChunkEntries {
		n, err := strconv.Atoi(size)
		if err != nil || want*n > 1<<20 || want > 1<<15 || 2*want*n <= 1<<20 && 2*want <= 1<<15 {
			t.Errorf("entries of %s bytes: %d a chunk, %v", size, want, err)
		}
	}
	for _, p := range v.Padding {
		if padded(p.Count) != p.Padded {
			t.Errorf("%d is padded to %d", p.Count, p.Padded)
		}
	}
	if len(v.Small) < 9 || len(v.Large.Proofs) < 4 || len(v.ChunkEntries) < 6 || len(v.Padding) < 10 {
		t.Error("vectors are missing")
	}
}

func TestSecondNoise(t *testing.T) {
	var v struct {
		Seed, Entries, Transcript, Claims                 octets
		InitiatorDigests, ResponderDigests, ResponderRows []octets
		Commitment, ClaimsCommitment                      commitment
		Untrue                                            []struct {
			Why   string
			Claim octets
		}
	}
	read(t, "noise.json", &v)
	var want [][]byte
	for _, d := range v.InitiatorDigests {
		noise := mac(v.Seed, d)
		want = append(want, slices.Concat(noise, mac(noise, d)))
	}
	for i := len(want); i < 256; i++ {
		n := u32(i - len(v.InitiatorDigests))
		want = append(want, slices.Concat(
			mac(v.Seed, []byte("ihyid/noise/1 padding"), n, []byte{0}),
			mac(v.Seed, []byte("ihyid/noise/1 padding"), n, []byte{1})))
	}
	slices.SortFunc(want, bytes.Compare)
	if !bytes.Equal(bytes.Join(want, nil), v.Entries) {
		t.Error("the entries differ")
	}
	checkSet(t, "entries", v.Entries, 64, v.Commitment)

	// The responder.
	var claims [][]byte
	for e, entry := range split(v.Entries, 64) {
		for i, d := range v.ResponderDigests {
			if !bytes.Equal(mac(entry[:32], d), entry[32:]) {
				continue
			}
			m := mac(entry[:32], []byte("ihyid/noise/1 claim"), v.Transcript, d)
			claims = append(claims, slices.Concat(u32(e), v.ResponderRows[i], m))
			if i == len(v.ResponderDigests)-1 {
				other := bytes.Clone(v.ResponderRows[i])
				for k := range other {
					other[k] = ^other[k]
				}
				claims = append(claims, slices.Concat(u32(e), other, m))
			}
		}
	}
	slices.SortFunc(claims, bytes.Compare)
	if len(claims) != 4 || !bytes.Equal(bytes.Join(claims, nil), v.Claims) {
		t.Errorf("the claims differ: %d made", len(claims))
	}
	checkSet(t, "claims", v.Claims, 52, v.ClaimsCommitment)

	// The initiator.
	good := func(c []byte) bool {
		entry := v.Entries[int(binary.BigEndian.Uint32(c))*64:][:64]
		return slices.ContainsFunc(v.InitiatorDigests, func(d octets) bool {
			return bytes.Equal(mac(entry[:32], d), entry[32:]) &&
				hmac.Equal(mac(entry[:32], []byte("ihyid/noise/1 claim"), v.Transcript, d), c[20:])
		})
	}
	for i, c := range split(v.Claims, 52) {
		if !good(c) {
			t.Errorf("claim %d is not true", i)
		}
	}
	for _, u := range v.Untrue {
		if len(u.Claim) != 52 || good(u.Claim) {
			t.Errorf("untrue claim passes: %s", u.Why)
		}
	}
	if len(v.Untrue) != 3 {
		t.Errorf("%d untrue claims", len(v.Untrue))
	}
}

const (
	context    = "OPRFV1-\x01-ristretto255-SHA512"
	dstGroup   = "HashToGroup-" + context
	dstScalar  = "HashToScalar-" + context
	labelClaim = "ihyid/voprf/1 claim"
)

var ristretto = group.Ristretto255

func point(t *testing.T, b []byte) group.Element {
	t.Helper()
	e := ristretto.NewElement()
	if err := e.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return e
}

func bytesOf(t *testing.T, e interface{ MarshalBinary() ([]byte, error) }) []byte {
	t.Helper()
	b, err := e.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecondVOPRF(t *testing.T) {
	var v struct {
		Key, PublicKey, BlindSeed, TagSeed, BlindedPoints, EvaluatedPoints, Proof, Tags, Transcript, Claims octets
		InitiatorDigests, ResponderDigests, InitiatorOutputs, InitiatorRows                                 []octets
		Commitment, TagsCommitment, ClaimsCommitment                                                        commitment
		Set                                                                                                 int
		Untrue                                                                                              []struct {
			Why   string
			Claim octets
		}
	}
	read(t, "voprf.json", &v)
	sk := new(oprf.PrivateKey)
	if err := sk.UnmarshalBinary(oprf.SuiteRistretto255, v.Key); err != nil {
		t.Fatal(err)
	}
	server := oprf.NewVerifiableServer(oprf.SuiteRistretto255, sk)
	if !bytes.Equal(bytesOf(t, server.PublicKey()), v.PublicKey) {
		t.Error("the public key differs")
	}
	full := func(d []byte) []byte {
		out, err := server.FullEvaluate(d)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}

	// The initiator blinds.
	blinding := func(message []byte) group.Scalar {
		return ristretto.HashToScalar(mac(v.BlindSeed, message), []byte(dstScalar))
	}
	r := make(map[string]group.Scalar)
	digest := make(map[string]int)
	var points [][]byte
	for i, d := range v.InitiatorDigests {
		s := blinding(d)
		p := ristretto.NewElement().MulGen(s)
		p.Add(p, ristretto.HashToElement(d, []byte(dstGroup)))
		b := bytesOf(t, p)
		r[string(b)], digest[string(b)] = s, i
		points = append(points, b)
	}
	for i := len(points); i < 256; i++ {
		s := blinding(slices.Concat([]byte("ihyid/voprf/1 padding"), u32(i-len(v.InitiatorDigests))))
		points = append(points, bytesOf(t, ristretto.NewElement().MulGen(s)))
	}
	slices.SortFunc(points, bytes.Compare)
	if !bytes.Equal(bytes.Join(points, nil), v.BlindedPoints) {
		t.Error("the blinded points differ")
	}
	checkSet(t, "blinded points", v.BlindedPoints, 32, v.Commitment)

	// The responder evaluates; its proof holds.
	var before, after []group.Element
	for _, p := range points {
		e := point(t, p)
		before = append(before, e)
		k := ristretto.NewScalar()
		if err := k.UnmarshalBinary(v.Key); err != nil {
			t.Fatal(err)
		}
		after = append(after, ristretto.NewElement().Mul(e, k))
	}
	for i, b := range split(v.EvaluatedPoints, 32) {
		if !bytes.Equal(bytesOf(t, after[i]), b) {
			t.Fatalf("evaluated point %d differs", i)
		}
	}
	proof := new(dleq.Proof)
	if err := proof.UnmarshalBinary(ristretto, v.Proof); err != nil {
		t.Fatal(err)
	}
	verifier := dleq.Verifier{Params: dleq.Params{G: ristretto, H: crypto.SHA512, DST: []byte(context)}}
	if !verifier.VerifyBatchRFC9497(point(t, v.PublicKey), before, after, proof) {
		t.Error("the proof does not hold")
	}

	// The initiator unblinds, with r times the public key.
	for i, b := range points {
		d, ok := digest[string(b)]
		if !ok {
			continue
		}
		n := ristretto.NewElement().Mul(point(t, v.PublicKey), r[string(b)])
		n.Add(after[i], n.Neg(n))
		out := sha512.Sum512(slices.Concat([]byte{0, 32}, v.InitiatorDigests[d], []byte{0, 32}, bytesOf(t, n), []byte("Finalize")))
		if !bytes.Equal(out[:48], v.InitiatorOutputs[d]) || !bytes.Equal(out[:], full(v.InitiatorDigests[d])) {
			t.Errorf("the output of digest %d differs", d)
		}
	}

	// The responder's tags.
	var tags [][]byte
	own := make(map[string][]byte)
	for _, d := range v.ResponderDigests {
		tag := full(d)[:16]
		own[string(tag)] = d
		tags = append(tags, tag)
	}
	for i := len(tags); i < 256; i++ {
		tags = append(tags, mac(v.TagSeed, []byte("ihyid/voprf/1 tag padding"), u32(i-len(v.ResponderDigests)))[:16])
	}
	slices.SortFunc(tags, bytes.Compare)
	if !bytes.Equal(bytes.Join(tags, nil), v.Tags) {
		t.Error("the tags differ")
	}
	checkSet(t, "tags", v.Tags, 16, v.TagsCommitment)

	// The initiator claims.
	seal := func(s group.Scalar, out []byte, set, index []byte) []byte {
		sealed := mac(out[16:48], []byte(labelClaim), v.Transcript, set, index)
		subtle.XORBytes(sealed, sealed, bytesOf(t, s))
		return sealed
	}
	var claims [][]byte
	for i, b := range points {
		d, ok := digest[string(b)]
		if !ok {
			continue
		}
		out := v.InitiatorOutputs[d]
		if _, common := sort.Find(len(tags), func(i int) int { return bytes.Compare(out[:16], tags[i]) }); !common {
			continue
		}
		rows := [][]byte{v.InitiatorRows[d]}
		if d == len(v.InitiatorDigests)-1 {
			other := bytes.Clone(rows[0])
			for k := range other {
				other[k] = ^other[k]
			}
			rows = append(rows, other)
		}
		for _, row := range rows {
			claims = append(claims, slices.Concat(u32(v.Set), u32(i), row, out[:16], seal(r[string(b)], out, u32(v.Set), u32(i))))
		}
	}
	slices.SortFunc(claims, bytes.Compare)
	if len(claims) != 4 || !bytes.Equal(bytes.Join(claims, nil), v.Claims) {
		t.Errorf("the claims differ: %d made", len(claims))
	}
	checkSet(t, "claims", v.Claims, 72, v.ClaimsCommitment)

	// The responder checks them. Only this one set was committed to.
	good := func(c []byte) bool {
		d, ok := own[string(c[24:40])]
		index := int(binary.BigEndian.Uint32(c[4:]))
		if !ok || int(binary.BigEndian.Uint32(c)) != v.Set || index >= len(points) {
			return false
		}
		b := mac(full(d)[16:48], []byte(labelClaim), v.Transcript, c[:4], c[4:8])
		subtle.XORBytes(b, b, c[40:])
		s := ristretto.NewScalar()
		if err := s.UnmarshalBinary(b); err != nil || !bytes.Equal(bytesOf(t, s), b) {
			return false // not canonical
		}
		p := ristretto.NewElement().MulGen(s)
		p.Add(p, ristretto.HashToElement(d, []byte(dstGroup)))
		return p.IsEqual(before[index])
	}
	for i, c := range split(v.Claims, 72) {
		if !good(c) {
			t.Errorf("claim %d is not true", i)
		}
	}
	for _, u := range v.Untrue {
		if len(u.Claim) != 72 || good(u.Claim) {
			t.Errorf("untrue claim passes: %s", u.Why)
		}
	}
	if len(v.Untrue) != 5 {
		t.Errorf("%d untrue claims", len(v.Untrue))
	}
}

func TestSecondAnswers(t *testing.T) {
	var v struct {
		Answers []struct {
			InitiatorRow, ResponderRow octets
			Keys                       []int
			Tier                       string
		}
		Encoded    octets
		Commitment commitment
		Invalid    []struct {
			Why   string
			Claim octets
		}
	}
	read(t, "answers.json", &v)
	tier := map[string]byte{"possible": 1, "match": 2, "withdrawn": 3}
	var encoded []byte
	for _, a := range v.Answers {
		var bitmap uint32
		for _, k := range a.Keys {
			bitmap |= 1 << k
		}
		encoded = slices.Concat(encoded, a.InitiatorRow, a.ResponderRow, binary.BigEndian.AppendUint32(nil, bitmap), []byte{tier[a.Tier]})
	}
	if len(v.Answers) != 4 || !bytes.Equal(encoded, v.Encoded) {
		t.Error("the answers are encoded otherwise")
	}
	checkSet(t, "answers", v.Encoded, 37, v.Commitment)
	valid := func(data []byte) bool {
		if len(data)%37 != 0 {
			return false
		}
		var before []byte
		for _, a := range split(data, 37) {
			keys := binary.BigEndian.Uint32(a[32:])
			if bytes.Compare(before, a[:32]) >= 0 || a[36] < 1 || a[36] > 3 || (a[36] == 3) != (keys == 0) {
				return false
			}
			before = a[:32]
		}
		return true
	}
	if !valid(v.Encoded) {
		t.Error("the answers are not valid")
	}
	for _, i := range v.Invalid {
		if valid(i.Claim) {
			t.Errorf("invalid answers pass: %s", i.Why)
		}
	}
	if len(v.Invalid) != 7 {
		t.Errorf("%d invalid lists", len(v.Invalid))
	}
}
