package credentials

import (
	"context"
	"crypto"
	"strings"
	"time"
)

// KeyResolver answers what is known of a verification method, now.
type KeyResolver interface {
	// Key looks a DID URL up and says whether its document authorises it for a purpose
	// ("assertionMethod", "authentication"). An unknown method, or a document that cannot be had, is an error.
	Key(ctx context.Context, verificationMethod, purpose string) (KeyStatus, error)
}

// KeyStatus is what a DID document says of a key.
type KeyStatus struct {
	Public     crypto.PublicKey // *ecdsa.PublicKey on P-256 or P-384, or ed25519.PublicKey
	Controller string           // the method's controller
	Authorized bool             // for the purpose that was asked for
	Expires    time.Time        // zero: not stated
	Revoked    time.Time
}

// Signature is what Evidence is asked about.
type Signature struct {
	VerificationMethod string
	Created            time.Time      // as the signer states; proves nothing
	Document           map[string]any // the document, its proofs included; not to be changed
	Token              []byte         // the compact JWS, where that is how the document is secured
}

// Evidence vouches, from outside the signer, that a signature existed at some time: a cross-signature
// by the other party, a cosigned checkpoint, a time stamp.
type Evidence interface {
	// Existed gives a moment at which the signature certainly existed and says what shows it; zero
	// if nothing does.
	Existed(ctx context.Context, s Signature) (at time.Time, source string, err error)
}

// didOf is the DID of a DID URL: what stands before its path, query or fragment.
func didOf(url string) string {
	if i := strings.IndexAny(url, "/?#"); i >= 0 {
		return url[:i]
	}
	return url
}
