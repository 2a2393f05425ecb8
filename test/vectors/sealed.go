package vectors

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"slices"

	"ihyid/exchange/sealedfile"
)

// FileVectors is file.json.
type FileVectors struct {
	Comment      string      `json:"comment"`
	Seed         Hex         `json:"seed"`     // the receiver's private key of MLKEM768-X25519
	Public       Hex         `json:"public"`   // and the public one
	Document     Hex         `json:"document"` // digest of the receiver's DID document
	Presentation string      `json:"presentation"`
	Chunks       []FileChunk `json:"chunks"`
	Payload      Hex         `json:"payload"` // digest of the chunks
	Segments     int         `json:"segments"`
	Sealed       []byte      `json:"sealed"` // base64
	Opening      struct {
		Agreement Hex `json:"agreement"`
		Exchange  Hex `json:"exchange"`
		Challenge Hex `json:"challenge"`
	} `json:"opening"`
}

// FileChunk is a chunk in a file.
type FileChunk struct {
	Set   string `json:"set"`
	Index uint32 `json:"index"`
	Data  Hex    `json:"data"`
}

// File makes file.json.
func File() (*FileVectors, error) {
	seed := word("file seed", 0)
	key, err := hpke.MLKEM768X25519().NewPrivateKey(seed[:])
	if err != nil {
		return nil, err
	}
	document := sha256.Sum256([]byte("the receiver's document"))
	v := &FileVectors{
		Comment: "A sealed file. What is in it is the same each time it is made, its seal is not. The presentation is not signed: it shows the form of the file alone.",
		Seed:    seed[:], Public: key.PublicKey().Bytes(), Document: document[:], Presentation: `{"an":"example"}`,
	}
	for i := range 2 {
		var data []byte
		for j := range 3 {
			w := word("file chunk", 3*i+j)
			data = append(data, w[:]...)
		}
		v.Chunks = append(v.Chunks, FileChunk{[]string{"evaluated", "tags"}[i], uint32(i), data})
	}
	var out bytes.Buffer
	digest := sealedfile.NewDigest()
	w, err := sealedfile.NewWriter(&out, key.PublicKey(), document, []byte(v.Presentation))
	if err != nil {
		return nil, err
	}
	for _, c := range v.Chunks {
		err = errors.Join(err, w.Chunk(c.Set, c.Index, c.Data))
		digest.Add(c.Set, c.Index, c.Data)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	sum := digest.Sum()
	v.Payload, v.Sealed, v.Segments = sum[:], out.Bytes(), 4
	agreement, exchange := word("agreement", 0), word("exchange", 0)
	challenge := sha256.Sum256(slices.Concat([]byte("ihyid/file/1 opening"), agreement[:], exchange[:16]))
	v.Opening.Agreement, v.Opening.Exchange, v.Opening.Challenge = agreement[:], exchange[:16], challenge[:]
	return v, nil
}
