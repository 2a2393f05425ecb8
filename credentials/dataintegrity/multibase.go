package dataintegrity

import (
	"errors"

	"github.com/multiformats/go-multibase"
)

// maxMultibase bounds what is decoded as base58, whose cost grows with the square of the length. The
// longest value in use, a P-384 signature, takes 133 characters.
const maxMultibase = 256

var errMultibase = errors.New("not a multibase value in base58btc or base64url")

// DecodeMultibase reads a short multibase value with the header of base58btc ("z") or base64url
// without padding ("u"): the two that Controlled Identifiers 1.0 section 2.4 allows.
func DecodeMultibase(s string) ([]byte, error) {
	if len(s) < 2 || len(s) > maxMultibase || s[0] != 'z' && s[0] != 'u' {
		return nil, errMultibase
	}
	_, b, err := multibase.Decode(s)
	if err != nil {
		return nil, errMultibase // the library's own error repeats the value
	}
	return b, nil
}

// decodeBase58 reads a proof value, which has to be base58btc.
func decodeBase58(s string) ([]byte, error) {
	if len(s) == 0 || s[0] != 'z' {
		return nil, errMultibase
	}
	return DecodeMultibase(s)
}

func encodeBase58(b []byte) (string, error) { return multibase.Encode(multibase.Base58BTC, b) }
