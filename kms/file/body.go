package file

import (
	"crypto/ecdsa"
	"encoding/binary"
	"fmt"
	"time"

	"ihyid/kms"
	"ihyid/kms/internal/envelope"
)

// The sealed part, in memory. It is our own binary form and not JSON because a
// buffer of our own can be wiped.
//
//	1   version, 1
//	4   number of wrapping keys, then for each
//	    16 id, 1 state, 8 created, 8 retired (Unix nanoseconds), 32 key
//	4   number of signing keys, then for each
//	    16 id, 1 state, 8 created, 8 retired, 1 curve, 1 purpose, 1 size, the private scalar
//
// Both lists stand in the order of creation. Exactly one wrapping key, the last, is active.
type body struct {
	wrapping []wrappingKey
	signing  []signingKey
}

type life struct {
	id               envelope.ID
	retired          bool
	created, retires int64 // Unix nanoseconds; retires is 0 unless retired
}

type wrappingKey struct {
	life
	key [KeySize]byte
}

type signingKey struct {
	life
	curve   kms.Curve
	purpose kms.Purpose
	scalar  []byte // big-endian, of the size of the curve
}

const (
	bodyVersion  = 1
	lifeSize     = 16 + 1 + 8 + 8
	wrappingSize = lifeSize + KeySize
	maxScalar    = 48
	signingSize  = lifeSize + 3 + maxScalar // at most
)

var (
	curveCodes   = map[kms.Curve]byte{kms.P256: 1, kms.P384: 2}
	purposeCodes = map[kms.Purpose]byte{kms.AssertionMethod: 1, kms.Authentication: 2, kms.SignIn: 3}
)

func keyOf[K comparable](m map[K]byte, code byte) (k K, ok bool) {
	for k, c := range m {
		if c == code {
			return k, true
		}
	}
	return k, false
}

func (b *body) wipe() {
	for i := range b.wrapping {
		clear(b.wrapping[i].key[:])
	}
	for i := range b.signing {
		clear(b.signing[i].scalar)
	}
}

// encode gives the sealed part in a buffer that never grew, so that the caller
// can wipe all of it.
func (b *body) encode() []byte {
	out := make([]byte, 0, 1+4+4+len(b.wrapping)*wrappingSize+len(b.signing)*signingSize)
	out = append(out, bodyVersion)
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.wrapping)))
	for i := range b.wrapping {
		out = b.wrapping[i].life.append(out)
		out = append(out, b.wrapping[i].key[:]...)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(b.signing)))
	for i := range b.signing {
		k := &b.signing[i]
		out = k.life.append(out)
		out = append(out, curveCodes[k.curve], purposeCodes[k.purpose], byte(len(k.scalar)))
		out = append(out, k.scalar...)
	}
	return out
}

func (l *life) append(b []byte) []byte {
	b = append(b, l.id[:]...)
	var state byte
	if l.retired {
		state = 1
	}
	b = append(b, state)
	b = binary.BigEndian.AppendUint64(b, uint64(l.created))
	return binary.BigEndian.AppendUint64(b, uint64(l.retires))
}

// decodeBody is strict: what encode would not write is an error. Scalars are
// checked by whoever makes keys of them.
func decodeBody(in []byte) (*body, error) {
	d := decoder{rest: in}
	b := new(body)
	if v := d.byte(); v != bodyVersion && !d.bad {
		return nil, fmt.Errorf("%w: contents of form %d, and this program knows %d only", ErrCorrupt, v, bodyVersion)
	}
	ids := make(map[envelope.ID]bool)
	for range d.count(wrappingSize) {
		k := wrappingKey{life: d.life(ids)}
		copy(k.key[:], d.take(KeySize))
		b.wrapping = append(b.wrapping, k)
	}
	for i := range b.wrapping {
		d.must(b.wrapping[i].retired == (i < len(b.wrapping)-1))
	}
	d.must(len(b.wrapping) > 0)
	for range d.count(lifeSize + 3) {
		k := signingKey{life: d.life(ids)}
		var ok1, ok2 bool
		k.curve, ok1 = keyOf(curveCodes, d.byte())
		k.purpose, ok2 = keyOf(purposeCodes, d.byte())
		size := d.byte()
		d.must(ok1 && ok2 && size <= maxScalar)
		k.scalar = append([]byte(nil), d.take(int(size))...)
		b.signing = append(b.signing, k)
	}
	d.must(len(d.rest) == 0)
	if d.bad {
		b.wipe()
		return nil, fmt.Errorf("%w: its contents are malformed", ErrCorrupt)
	}
	return b, nil
}

type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) must(ok bool) { d.bad = d.bad || !ok }

// take gives n bytes, or none once anything was bad.
func (d *decoder) take(n int) []byte {
	if d.must(n <= len(d.rest)); d.bad {
		return nil
	}
	var b []byte
	b, d.rest = d.rest[:n], d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// count reads how many entries follow, at least atLeast bytes each: never more
// than the bytes that are there could hold.
func (d *decoder) count(atLeast int) int {
	b := d.take(4)
	if b == nil {
		return 0
	}
	n := binary.BigEndian.Uint32(b)
	if d.must(int64(n) <= int64(len(d.rest)/atLeast)); d.bad {
		return 0
	}
	return int(n)
}

func (d *decoder) life(seen map[envelope.ID]bool) (l life) {
	b := d.take(lifeSize)
	if b == nil {
		return l
	}
	copy(l.id[:], b)
	l.retired = b[16] == 1
	l.created = int64(binary.BigEndian.Uint64(b[17:]))
	l.retires = int64(binary.BigEndian.Uint64(b[25:]))
	d.must(b[16] <= 1 && !seen[l.id] && (l.retired || l.retires == 0))
	seen[l.id] = true
	return l
}

// private makes the usable key, checking that the scalar is one.
func (k *signingKey) private() (*ecdsa.PrivateKey, error) {
	curve, err := k.curve.Elliptic()
	if err != nil {
		return nil, err
	}
	priv, err := ecdsa.ParseRawPrivateKey(curve, k.scalar)
	if err != nil {
		return nil, fmt.Errorf("%w: key %s is no key of its curve", ErrCorrupt, k.id)
	}
	return priv, nil
}

func (l *life) state() (kms.State, time.Time) {
	if l.retired {
		return kms.Retired, time.Unix(0, l.retires).UTC()
	}
	return kms.Active, time.Time{}
}

func (k *signingKey) info(pub *ecdsa.PublicKey) kms.KeyInfo {
	i := kms.KeyInfo{ID: k.id.String(), Curve: k.curve, Purpose: k.purpose, Created: time.Unix(0, k.created).UTC(), Public: pub}
	i.State, i.Retired = k.state()
	return i
}
