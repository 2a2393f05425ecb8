//go:build cgo && !nopkcs11

package pkcs11

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/miekg/pkcs11"

	"ihyid/kms"
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
