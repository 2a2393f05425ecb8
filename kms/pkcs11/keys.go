//go:build cgo && !nopkcs11

package pkcs11

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/internal/digest"
	"ihyid/kms/internal/envelope"
)

// The DER of the curves' object identifiers (RFC 5480, section 2.1.1.1), as
// they stand in CKA_EC_PARAMS.
var curves = map[kms.Curve][]byte{
	kms.P256: {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
	kms.P384: {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22},
}

type pubKey struct {
	curve kms.Curve
	key   *ecdsa.PublicKey
}

// object is a signing key as the token has it.
type object struct {
	id     envelope.ID
	handle pkcs11.ObjectHandle // of the private half
	label  label
	pub    pubKey
}

func (k *object) info() kms.KeyInfo {
	i := kms.KeyInfo{ID: k.id.String(), Curve: k.pub.curve, Purpose: k.label.purpose, State: kms.Active, Created: k.label.created, Public: k.pub.key}
	if !k.label.retired.IsZero() {
		i.State, i.Retired = kms.Retired, k.label.retired
	}
	return i
}

// key is what the signers of one key share.
type key struct {
	s     *Store
	id    envelope.ID
	pub   *ecdsa.PublicKey
	size  int                   // of the curve's order, in bytes
	fails atomic.Pointer[error] // why it no longer signs
}

func (k *key) stop(why error) { k.fails.Store(&why) }

func (k *key) Public() crypto.PublicKey { return k.pub }

// Create implements [kms.Store].
func (s *Store) Create(ctx context.Context, curve kms.Curve, p kms.Purpose) (kms.KeyInfo, error) {
	ec, err := curve.Elliptic()
	if err != nil {
		return kms.KeyInfo{}, err
	}
	if err := p.Check(); err != nil {
		return kms.KeyInfo{}, err
	}
	id, err := envelope.NewID(nil)
	if err != nil {
		return kms.KeyInfo{}, err
	}
	var made *object
	err = s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) error {
		all, err := c.list(h)
		if err != nil {
			return err
		}
		l := label{purpose: p, created: s.now()}
		for _, k := range all {
			if k.id == id { // an attempt before this one got it made
				made = k
				return nil
			}
			l.created = later(l.created, k.label.created)
		}
		public, err := crypto11.NewAttributeSetWithIDAndLabel(id[:], []byte(l.String()))
		if err != nil {
			return err
		}
		private := public.Copy()
		if err := errors.Join(private.Set(crypto11.CkaPrivate, true), private.Set(crypto11.CkaDerive, false)); err != nil {
			return err
		}
		if _, err := c.p11.GenerateECDSAKeyPairWithAttributes(public, private, ec); err != nil {
			return fmt.Errorf("make a key in the token: %w", err)
		}
		made, err = c.get(h, id)
		if err != nil {
			return errors.Join(err, c.destroy(h, id))
		}
		return nil
	})
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return made.info(), nil
}

// now is the time as labels hold it.
func (s *Store) now() time.Time { return s.o.Clock().UTC().Truncate(time.Microsecond) }

// later puts a key's making after that of another, so that the order of
// creation is plain even where the clock was set back.
func later(t, after time.Time) time.Time {
	if !t.After(after) {
		return after.Add(time.Microsecond)
	}
	return t
}

// List implements [kms.Store].
func (s *Store) List(ctx context.Context) ([]kms.KeyInfo, error) {
	var all []*object
	err := s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) (err error) {
		if all, err = c.list(h); err != nil {
			return err
		}
		// A token that is gone looks empty: make sure that it was there.
		return c.alive()
	})
	if err != nil {
		return nil, err
	}
	infos := make([]kms.KeyInfo, len(all))
	for i, k := range all {
		infos[i] = k.info()
		s.note(k)
	}
	return infos, nil
}

// note tells signers that were given out what became of their key.
func (s *Store) note(o *object) {
	if o.label.retired.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[o.id]; k != nil {
		k.stop(fmt.Errorf("%w: %s", kms.ErrKeyRetired, o.id))
	}
}

func (s *Store) noteGone(id envelope.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.keys[id]; k != nil {
		k.stop(fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id))
		delete(s.keys, id)
	}
}

// Get implements [kms.Store].
func (s *Store) Get(ctx context.Context, id string) (kms.KeyInfo, error) {
	k, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error { return c.vet(h, k) })
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return k.info(), nil
}

// one finds one key and runs f on it.
func (s *Store) one(ctx context.Context, text string, f func(*conn, pkcs11.SessionHandle, *object) error) (*object, error) {
	id, ok := envelope.ParseID(text)
	if !ok {
		// It can be no key of ours, but a closed store says so first.
		return nil, s.do(ctx, func(*conn) error { return fmt.Errorf("%w: %.40q", kms.ErrKeyNotFound, text) })
	}
	var k *object
	err := s.withSession(ctx, func(c *conn, h pkcs11.SessionHandle) (err error) {
		if k, err = c.locate(h, id); err == nil {
			err = f(c, h, k)
		}
		return err
	})
	if err != nil {
		if errors.Is(err, kms.ErrKeyNotFound) {
			s.noteGone(id)
		}
		return nil, err
	}
	s.note(k)
	return k, nil
}

// Signer implements [kms.Store].
func (s *Store) Signer(ctx context.Context, id string) (crypto.Signer, error) {
	o, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error { return c.vet(h, k) })
	if err != nil {
		return nil, err
	}
	if !o.label.retired.IsZero() {
		return nil, fmt.Errorf("%w: %s", kms.ErrKeyRetired, id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, kms.ErrClosed
	}
	k := s.keys[o.id]
	if k == nil {
		k = &key{s: s, id: o.id, pub: o.pub.key, size: (o.pub.key.Params().N.BitLen() + 7) / 8}
		s.keys[o.id] = k
	}
	return k, nil
}

// Sign implements [crypto.Signer] as [kms.Store] describes it. It waits within
// the store's limits for a session and for a token that is lost.
func (k *key) Sign(_ io.Reader, d []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	if d, err = digest.Prepare(d, opts, k.size); err != nil {
		return nil, fmt.Errorf("%w: %w", kms.ErrUnsupported, err)
	}
	if why := k.fails.Load(); why != nil {
		return nil, *why
	}
	ctx := context.Background()
	err = k.s.do(ctx, func(c *conn) error {
		if _, err := take(ctx, c, c.sign); err != nil {
			return err
		}
		defer func() { c.sign <- struct{}{} }()
		signer, err := c.signer(ctx, k)
		if err == nil {
			sig, err = signer.Sign(nil, d, opts)
		}
		if judge(err) == suspect {
			c.forget(k.id) // perhaps another process did something to it: look again
			if signer, err = c.signer(ctx, k); err == nil {
				sig, err = signer.Sign(nil, d, opts)
			}
		}
		return err
	})
	if err != nil {
		if why := k.fails.Load(); why != nil { // it came to its end while we signed
			return nil, *why
		}
		if errors.Is(err, kms.ErrKeyNotFound) {
			k.s.noteGone(k.id)
		}
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// Retire implements [kms.Store].
func (s *Store) Retire(ctx context.Context, id string) error {
	_, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error {
		if !k.label.retired.IsZero() {
			return nil
		}
		l := k.label
		if l.retired = s.now(); l.retired.Before(l.created) {
			l.retired = l.created
		}
		text := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_LABEL, l.String())}
		if err := c.lib.raw.SetAttributeValue(h, k.handle, text); err != nil {
			return fmt.Errorf("mark the key as retired: %w", err)
		}
		k.label = l
		s.note(k) // before the copy goes, so that whoever signs with it is told why
		c.drop(h, k.id)
		// The public half's label is for people with other tools only.
		if halves, err := c.find(h, pkcs11.CKO_PUBLIC_KEY, &k.id); err == nil {
			for _, p := range halves {
				_ = c.lib.raw.SetAttributeValue(h, p, text)
			}
		}
		return nil
	})
	return err
}

// Destroy implements [kms.Store].
func (s *Store) Destroy(ctx context.Context, id string) error {
	gone := false
	_, err := s.one(ctx, id, func(c *conn, h pkcs11.SessionHandle, k *object) error {
		gone = true // if the connection is lost now, not finding it on the next try is success
		s.noteGone(k.id)
		return c.destroy(h, k.id)
	})
	if gone && errors.Is(err, kms.ErrKeyNotFound) {
		return nil
	}
	return err
}

// destroy erases all that the token has under an id, the private half first.
func (c *conn) destroy(h pkcs11.SessionHandle, id envelope.ID) error {
	c.drop(h, id)
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
		found, err := c.find(h, class, &id)
		if err != nil {
			return err
		}
		for _, o := range found {
			if err := c.lib.raw.DestroyObject(h, o); err != nil {
				return fmt.Errorf("erase a key from the token: %w", err)
			}
		}
	}
	return nil
}

// drop gives up the means of signing with a key.
func (c *conn) drop(h pkcs11.SessionHandle, id envelope.ID) {
	c.mu.Lock()
	copied, ok := c.copies[id]
	delete(c.copies, id)
	delete(c.signers, id)
	delete(c.proved, id)
	c.mu.Unlock()
	if ok {
		_ = c.lib.raw.DestroyObject(h, copied)
	}
}

func (c *conn) forget(id envelope.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.signers, id)
	delete(c.copies, id)
}

// signer gives crypto11's signer for a key, on a copy of it as a session object
// where the token makes one.
func (c *conn) signer(ctx context.Context, k *key) (crypto11.Signer, error) {
	c.mu.Lock()
	signer := c.signers[k.id]
	c.mu.Unlock()
	if signer != nil {
		return signer, nil
	}
	err := c.withAdmin(ctx, func(h pkcs11.SessionHandle) error {
		c.mu.Lock()
		signer = c.signers[k.id] // made while we waited
		c.mu.Unlock()
		if signer != nil {
			return nil
		}
		o, err := c.get(h, k.id)
		if err != nil {
			return err
		}
		if !o.label.retired.IsZero() {
			return fmt.Errorf("%w: %s", kms.ErrKeyRetired, k.id)
		}
		if !o.pub.key.Equal(k.pub) {
			return fmt.Errorf("%w: the token has another key under the id %s", kms.ErrKeyNotFound, k.id)
		}
		attrs, err := crypto11.NewAttributeSetWithID(k.id[:])
		if err != nil {
			return err
		}
		copied, isCopied := c.copyOf(h, o.handle)
		if isCopied {
			err = errors.Join(attrs.Set(crypto11.CkaToken, false), attrs.Set(crypto11.CkaLabel, c.mark))
		} else {
			err = attrs.Set(crypto11.CkaToken, true)
		}
		if err != nil {
			return err
		}
		if signer, err = c.p11.FindKeyPairWithAttributes(attrs); err != nil {
			return err
		}
		if signer == nil {
			return fmt.Errorf("%w: %s", kms.ErrKeyNotFound, k.id)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.signers[k.id] = signer
		if isCopied {
			c.copies[k.id] = copied
		}
		return nil
	})
	return signer, err
}

// copyOf makes a session copy. A token that makes none is no error: its own key
// is used then.
func (c *conn) copyOf(h pkcs11.SessionHandle, private pkcs11.ObjectHandle) (pkcs11.ObjectHandle, bool) {
	if c.bare {
		return 0, false
	}
	copied, err := c.lib.raw.CopyObject(h, private, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_LABEL, c.mark)})
	return copied, err == nil
}

// list reads all signing keys, oldest first.
func (c *conn) list(h pkcs11.SessionHandle) ([]*object, error) {
	found, err := c.find(h, pkcs11.CKO_PRIVATE_KEY, nil)
	if err != nil {
		return nil, err
	}
	var all []*object
	for _, o := range found {
		k, err := c.identify(h, o)
		if err == nil && k != nil {
			err = c.vet(h, k)
		}
		if err != nil {
			return nil, err
		}
		if k != nil {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *object) int {
		return cmp.Or(a.label.created.Compare(b.label.created), bytes.Compare(a.id[:], b.id[:]))
	})
	return all, nil
}

// get finds a key and vets it. ErrKeyNotFound.
func (c *conn) get(h pkcs11.SessionHandle, id envelope.ID) (*object, error) {
	k, err := c.locate(h, id)
	if err == nil {
		err = c.vet(h, k)
	}
	return k, err
}

// locate finds a key by its id. ErrKeyNotFound.
func (c *conn) locate(h pkcs11.SessionHandle, id envelope.ID) (*object, error) {
	found, err := c.find(h, pkcs11.CKO_PRIVATE_KEY, &id)
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		if k, err := c.identify(h, o); err != nil || k != nil {
			return k, err
		}
	}
	return nil, fmt.Errorf("%w: %s", kms.ErrKeyNotFound, id)
}

// identify reads the id and label of a private key object; nil if it is none of ours.
func (c *conn) identify(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) (*object, error) {
	a, err := c.lib.raw.GetAttributeValue(h, o, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, nil), pkcs11.NewAttribute(pkcs11.CKA_ID, nil)})
	if err != nil {
		return nil, fmt.Errorf("read a key's label: %w", err)
	}
	l, ours, err := parseLabel(string(a[0].Value))
	if err != nil {
		return nil, err
	}
	if !ours || l.wrapping {
		return nil, nil
	}
	if len(a[1].Value) != envelope.IDSize {
		return nil, fmt.Errorf("the key labelled %q has an id of %d bytes", l, len(a[1].Value))
	}
	return &object{id: envelope.ID(a[1].Value), handle: o, label: l}, nil
}

// vet checks, once a connection, that a key is guarded and that its public half
// is its own, and fills in the latter. A key that fails can still be destroyed.
func (c *conn) vet(h pkcs11.SessionHandle, k *object) error {
	c.mu.Lock()
	k.pub = c.proved[k.id]
	c.mu.Unlock()
	if k.pub.key != nil {
		return nil
	}
	if err := c.guarded(h, k.handle); err != nil {
		return fmt.Errorf("key %s: %w", k.id, err)
	}
	pub, err := c.prove(h, k.handle, k.id)
	if err != nil {
		return fmt.Errorf("key %s: %w", k.id, err)
	}
	k.pub = pub
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proved[k.id] = pub
	return nil
}

// guarded checks that a private or secret key cannot be taken out of the token.
func (c *conn) guarded(h pkcs11.SessionHandle, o pkcs11.ObjectHandle) error {
	a, err := c.lib.raw.GetAttributeValue(h, o, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil)})
	if err != nil {
		return fmt.Errorf("read its attributes: %w", err)
	}
	if !bytes.Equal(a[0].Value, []byte{1}) || !bytes.Equal(a[1].Value, []byte{0}) {
		return errors.New("it could be taken out of the token (it must be sensitive and not extractable)")
	}
	return nil
}

// prove finds the public half that fits a private key, by a signature over
// random bytes: the token does not guard public objects.
func (c *conn) prove(h pkcs11.SessionHandle, private pkcs11.ObjectHandle, id envelope.ID) (pubKey, error) {
	raw := c.lib.raw
	challenge := make([]byte, 32)
	rand.Read(challenge) // never fails
	if err := raw.SignInit(h, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil)}, private); err != nil {
		return pubKey{}, fmt.Errorf("sign a challenge: %w", err)
	}
	sig, err := raw.Sign(h, challenge)
	if err != nil {
		return pubKey{}, fmt.Errorf("sign a challenge: %w", err)
	}
	r, s := new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
	halves, err := c.find(h, pkcs11.CKO_PUBLIC_KEY, &id)
	if err != nil {
		return pubKey{}, err
	}
	for _, p := range halves {
		a, err := raw.GetAttributeValue(h, p, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, nil), pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
		if err != nil {
			return pubKey{}, fmt.Errorf("read its public half: %w", err)
		}
		if pub, err := parsePublic(a[0].Value, a[1].Value); err == nil && ecdsa.Verify(pub.key, challenge, r, s) {
			return pub, nil
		}
	}
	return pubKey{}, fmt.Errorf("none of the %d public halves in the token fits it", len(halves))
}

// parsePublic reads CKA_EC_PARAMS and CKA_EC_POINT. The point should be a DER
// OCTET STRING (PKCS #11 v2.40, section 2.3.3); some modules leave that off.
func parsePublic(params, point []byte) (pubKey, error) {
	for name, oid := range curves {
		if !bytes.Equal(params, oid) {
			continue
		}
		var inner []byte
		if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
			point = inner
		}
		ec, err := name.Elliptic()
		if err != nil {
			return pubKey{}, err
		}
		pub, err := ecdsa.ParseUncompressedPublicKey(ec, point)
		return pubKey{curve: name, key: pub}, err
	}
	return pubKey{}, fmt.Errorf("%w: curve", kms.ErrUnsupported)
}
