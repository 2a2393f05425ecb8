package noise

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"
)

// kernel is the inner loop: it tries each digest against one entry and appends the indexes of
// those whose uscadi the entry holds. It is not safe for concurrent use; each worker makes its own.
// A faster one (assembly, several lanes at once) needs only another constructor in kernels.
type kernel interface {
	run(hits []int, entry *[EntrySize]byte, digests [][32]byte) []int
}

// kernels are the known kernels, fastest first. A constructor returns nil where it cannot run.
var kernels = []func() kernel{newStateKernel}

// chooseKernel returns the constructor of the fastest kernel that computes what crypto/hmac
// computes here and now. A kernel may lean on what a Go release may change (the encoding of a hash's
// state), and a wrong one would silently find no matches; so it is tried first.
func chooseKernel() func() kernel {
	for _, make := range kernels {
		if sound(make()) {
			return make
		}
	}
	return newPlainKernel
}

// sound tries a kernel on random entries that match some of random digests.
func sound(k kernel) bool {
	if k == nil {
		return false
	}
	const entries, digests = 3, 8
	var keys [digests][32]byte
	for i := range keys {
		rand.Read(keys[i][:])
	}
	// The whole of the uscadi counts: in the last entry only its last bit is wrong.
	for i := range entries {
		var entry [EntrySize]byte
		rand.Read(entry[:NoiseSize])
		mac := hmac.New(sha256.New, entry[:NoiseSize])
		mac.Write(keys[3*i][:])
		mac.Sum(entry[:NoiseSize])
		hits := k.run([]int{-7}, &entry, keys[:])
		if len(hits) != 2 || hits[0] != -7 || hits[1] != 3*i {
			return false
		}
		entry[EntrySize-1] ^= 1
		if len(k.run(nil, &entry, keys[:])) != 0 {
			return false
		}
	}
	return true
}

// stateHash is what crypto/sha256's hash offers besides hash.Hash.
type stateHash interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// stateKernel computes HMAC from the two states that crypto/sha256 has after the padded keys: it
// sets the state, writes one block padded by hand, so that exactly one compression runs, and reads the state back in
// place of Sum, which would copy it and run another. Two compressions a pair are the least that HMAC takes.
//
// Measured on one core of an AMD EPYC (Zen 4; a compression takes 45 ns): 137 ns a pair, against 194 ns with Reset
// and Sum of crypto/hmac. Interleaving two, four or eight pairs through as many hashes takes 162 ns
// (the states no longer stay in the first cache lines, and the compression already fills the core), copying the hash by
// reflection 171 ns. Writing the state through an unsafe pointer takes 103 ns: the most that is left to gain
// without assembly, and not worth depending on the layout of a private struct. The order of loops
// does not matter: digests are read in sequence, 32 bytes in 137 ns.
type stateKernel struct {
	hash         stateHash
	key          [64]byte // scratch: the noise masked as HMAC does
	block        [64]byte // one message block: 32 bytes, then the padding of a 96-byte message
	inner, outer []byte   // encoded states after the padded key
	out          []byte   // encoded state after a block
	at           int      // where in it the eight words stand
}

// sha256State is where crypto/sha256 puts the eight words of its state in the encoded form: after
// a four-byte mark.
const sha256State = 4

func newStateKernel() kernel {
	h, ok := sha256.New().(stateHash)
	if !ok {
		return nil
	}
	k := &stateKernel{hash: h, at: sha256State, out: make([]byte, 0, 256)}
	k.block[32] = 0x80
	binary.BigEndian.PutUint64(k.block[56:], (64+32)*8)
	state, err := h.AppendBinary(nil)
	// The initial value of SHA-256 begins with the words 6a09e667 bb67ae85.
	if err != nil || len(state) < k.at+sha256.Size ||
		!bytes.HasPrefix(state[k.at:], []byte{0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85}) {
		return nil
	}
	return k
}

func (k *stateKernel) run(hits []int, entry *[EntrySize]byte, digests [][32]byte) []int {
	k.inner = k.keyed(k.inner, entry, 0x36)
	k.outer = k.keyed(k.outer, entry, 0x5c)
	want := binary.BigEndian.Uint64(entry[NoiseSize:])
	words := func() []byte { return k.out[k.at : k.at+sha256.Size] }
	before := len(hits)
	for i := range digests {
		copy(k.block[:32], digests[i][:])
		ok := k.compress(k.inner)
		if ok {
			copy(k.block[:32], words())
			ok = k.compress(k.outer)
		}
		if !ok {
			// Cannot be, with states that the hash itself wrote; but no match may be lost by it.
			return plainKernel{}.run(hits[:before], entry, digests)
		}
		if binary.BigEndian.Uint64(words()) == want && bytes.Equal(words(), entry[NoiseSize:]) {
			hits = append(hits, i)
		}
	}
	return hits
}

// compress runs the block through the hash from the given state and leaves the new state in out.
func (k *stateKernel) compress(state []byte) bool {
	if k.hash.UnmarshalBinary(state) != nil {
		return false
	}
	k.hash.Write(k.block[:])
	var err error
	k.out, err = k.hash.AppendBinary(k.out[:0])
	return err == nil
}

// keyed returns the encoded state after the key block of HMAC, the noise masked with pad.
func (k *stateKernel) keyed(state []byte, entry *[EntrySize]byte, pad byte) []byte {
	for i := range k.key {
		k.key[i] = pad
	}
	for i, b := range entry[:NoiseSize] {
		k.key[i] ^= b
	}
	k.hash.Reset()
	k.hash.Write(k.key[:])
	state, err := k.hash.AppendBinary(state[:0])
	if err != nil {
		return nil
	}
	return state
}

// plainKernel uses crypto/hmac as it is.
type plainKernel struct{}

func newPlainKernel() kernel { return plainKernel{} }

func (plainKernel) run(hits []int, entry *[EntrySize]byte, digests [][32]byte) []int {
	mac := hmac.New(sha256.New, entry[:NoiseSize])
	var got []byte
	for i := range digests {
		mac.Reset()
		mac.Write(digests[i][:])
		if got = mac.Sum(got[:0]); bytes.Equal(got, entry[NoiseSize:]) {
			hits = append(hits, i)
		}
	}
	return hits
}
