package dataintegrity

import (
	"errors"

	"github.com/multiformats/go-multibase"
)

// maxMultibase bounds what is decoded as base58, whose cost grows with the square of the length. The
// longest value in use, a P-384 signature, takes 133 characters.
const maxMultibase = 256

var errMultibase = errors.New("not a base58btc multibase value")

// decodeBase58 reads a multibase value with the header of base58btc, "z".
func decodeBase58(s string) ([]byte, error) {
	if len(s) < 2 || len(s) > maxMultibase || s[0] != byte(multibase.Base58BTC) {
		return nil, errMultibase
	}
	_, b, err := multibase.Decode(s)
	if err != nil {
		return nil, errMultibase // the library's own error repeats the value
	}
	return b, nil
}

func encodeBase58(b []byte) (string, error) { return multibase.Encode(multibase.Base58BTC, b) }
