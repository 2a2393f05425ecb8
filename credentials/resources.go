package credentials

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"ihyid/credentials/contexts"
	"ihyid/credentials/dataintegrity"
)

// checkDigest holds what a relatedResource says of a resource against the resource itself, where that is at hand: a data URL, which holds it, or a
// context of the W3C, whose digest is published. Other resources are for the reader of the credential to fetch and check: nothing is fetched here.
func checkDigest(resource map[string]any) error { return checkDigestOf(resource, nil) }

// checkDigests does the same for what is configured: contexts and schemas, whichever of relatedResource and credentialSchema names them.
func (s *Suites) checkDigests(d map[string]any) error {
	known := s.orEmbedded().resources
	for _, field := range []string{"relatedResource", "credentialSchema"} {
		for i, e := range each(d[field]) {
			m, ok := e.(map[string]any)
			if !ok {
				continue // the data model has refused it
			}
			if err := checkDigestOf(m, known); err != nil {
				return wrong(fmt.Sprintf("%s[%d]", field, i), "%v", err)
			}
		}
	}
	return nil
}

func checkDigestOf(resource map[string]any, known map[string][]byte) error {
	id, _ := resource["id"].(string)
	var digest func(size int) []byte // nil: not known for that length
	if data, ok := known[id]; ok {
		digest = func(size int) []byte { return sum(data, size) }
	} else if data, ok := embeddedData(id); ok {
		digest = func(size int) []byte { return sum(data, size) }
	} else if published, ok := contexts.PublishedSHA256(id); ok {
		digest = func(size int) []byte {
			if size == sha256.Size {
				return published
			}
			return nil
		}
	} else {
		return nil
	}
	for _, stated := range []struct {
		field string
		read  func(string) []byte
	}{{"digestSRI", sriDigest}, {"digestMultibase", multibaseDigest}} {
		text, ok := resource[stated.field].(string)
		if !ok || stated.field == "digestSRI" && !isSRI(text) || stated.field == "digestMultibase" && !isMultibaseDigest(text) {
			continue
		}
		have := stated.read(text)
		if want := digest(len(have)); want != nil && !bytes.Equal(have, want) {
			return fmt.Errorf("%s is not the digest of the resource", stated.field)
		}
	}
	return nil
}

func sum(data []byte, size int) []byte {
	switch size {
	case sha256.Size:
		s := sha256.Sum256(data)
		return s[:]
	case sha512.Size384:
		s := sha512.Sum384(data)
		return s[:]
	}
	s := sha512.Sum512(data)
	return s[:]
}

// embeddedData gives the bytes of a data URL (RFC 2397).
func embeddedData(id string) ([]byte, bool) {
	if len(id) < 5 || !strings.EqualFold(id[:5], "data:") {
		return nil, false
	}
	head, body, ok := strings.Cut(id[5:], ",")
	if !ok {
		return nil, false
	}
	text, err := url.PathUnescape(body)
	if err != nil {
		return nil, false
	}
	if !strings.HasSuffix(strings.ToLower(head), ";base64") {
		return []byte(text), true
	}
	data, err := base64.StdEncoding.DecodeString(text)
	return data, err == nil
}

// sriDigest gives the digest of Subresource Integrity metadata that isSRI has passed.
func sriDigest(s string) []byte {
	_, digest, _ := strings.Cut(s, "-")
	b, _ := base64.StdEncoding.DecodeString(digest)
	return b
}

// multibaseDigest gives the digest of a multihash that isMultibaseDigest has passed.
func multibaseDigest(s string) []byte {
	b, err := dataintegrity.DecodeMultibase(s)
	if err != nil || len(b) < 2 {
		return nil
	}
	return b[2:]
}
