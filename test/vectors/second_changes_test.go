package vectors_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// TestSecondChanges applies the changes of an increment to what stood, as docs/protocol.md 10a says.
func TestSecondChanges(t *testing.T) {
	type untrue struct {
		Why   string
		Claim octets
	}
	var v struct {
		Sizes                                   []int
		Standing, Claims, Pairs, Answers, Whole octets
		AnswersRoot                             octets
		ClaimsCommitment, AnswersCommitment     commitment
		After                                   []struct {
			Set, Index int
			Row        octets
		}
		Invalid, Mismatch []untrue
	}
	read(t, "changes.json", &v)
	checkSet(t, "claims", v.Claims, 72, v.ClaimsCommitment)
	checkSet(t, "answers", v.Answers, 37, v.AnswersCommitment)
	none := make([]byte, 48)
	back := func(c []byte) bool { return bytes.Equal(c[24:], none) }
	formed := func(data []byte) bool {
		count := map[string]int{}
		var before []byte
		for _, c := range split(data, 72) {
			set, index := int(binary.BigEndian.Uint32(c)), int(binary.BigEndian.Uint32(c[4:]))
			if bytes.Compare(before, c[:24]) >= 0 || set >= len(v.Sizes) || index >= v.Sizes[set] {
				return false
			}
			before = c[:24]
			of := string(c[:8])
			if back(c) {
				of = "back " + of
			}
			if count[of]++; count[of] > 3 {
				return false
			}
		}
		return true
	}
	apply := func(changes []byte) (after []string, ok bool) {
		stands, rows := map[string]bool{}, map[string]int{}
		for _, c := range split(v.Standing, 72) {
			stands[string(c[:24])] = true
		}
		for _, c := range split(changes, 72) {
			if at := string(c[:24]); back(c) != stands[at] {
				return nil, false
			} else if back(c) {
				delete(stands, at)
			} else {
				stands[at] = true
			}
		}
		for at := range stands {
			if rows[at[:8]]++; rows[at[:8]] > 3 {
				return nil, false
			}
			after = append(after, at)
		}
		slices.Sort(after)
		return after, true
	}
	after, ok := apply(v.Claims)
	if !formed(v.Standing) || !formed(v.Claims) || !ok || len(after) != len(v.After) {
		t.Fatalf("the changes cannot be applied: %t, %d stand", ok, len(after))
	}
	for i, a := range v.After {
		if after[i] != string(slices.Concat(u32(a.Set), u32(a.Index), a.Row)) {
			t.Errorf("claim %d that stands differs", i)
		}
	}
	for _, i := range v.Invalid {
		if formed(i.Claim) {
			t.Errorf("an invalid list passes: %s", i.Why)
		}
	}
	for _, i := range v.Mismatch {
		if _, ok := apply(i.Claim); ok || !formed(i.Claim) {
			t.Errorf("a list that does not fit passes: %s", i.Why)
		}
	}
	if len(v.Invalid) != 4 || len(v.Mismatch) != 4 {
		t.Error("vectors are missing")
	}

	pairs := map[string][]byte{}
	for _, p := range split(v.Pairs, 37) {
		pairs[string(p[:32])] = p
	}
	withdrawn := 0
	for _, p := range split(v.Answers, 37) {
		switch {
		case p[36] != 3:
			pairs[string(p[:32])] = p
		case bytes.Equal(p[16:32], none[:16]): // of a claim, not of a pair
			withdrawn++
		case pairs[string(p[:32])] == nil:
			t.Error("a pair is taken back that does not stand")
		default:
			delete(pairs, string(p[:32]))
		}
	}
	var whole [][]byte
	for _, p := range pairs {
		whole = append(whole, p)
	}
	slices.SortFunc(whole, bytes.Compare)
	if withdrawn != 1 || !bytes.Equal(bytes.Join(whole, nil), v.Whole) || !bytes.Equal(mth(whole), v.AnswersRoot) {
		t.Errorf("%d pairs stand, %d contacts were withdrawn", len(whole), withdrawn)
	}
}

// TestSecondUnilateral verifies a record that one side signed alone, with the key of its DID document, and by hand: ecdsa-jcs-2019 over P-256.
func TestSecondUnilateral(t *testing.T) {
	var v struct {
		Document, Record json.RawMessage
	}
	read(t, "unilateral.json", &v)
	var doc struct {
		ID                 string
		AssertionMethod    []string
		VerificationMethod []struct {
			ID           string
			PublicKeyJwk struct{ Crv, X, Y string }
		}
	}
	if err := json.Unmarshal(v.Document, &doc); err != nil {
		t.Fatal(err)
	}
	verify := func(record []byte) bool {
		var c map[string]any
		if err := json.Unmarshal(record, &c); err != nil {
			t.Fatal(err)
		}
		proof := c["proof"].(map[string]any)
		value := proof["proofValue"].(string)
		delete(c, "proof")
		delete(proof, "proofValue")
		method, _ := proof["verificationMethod"].(string)
		if c["issuer"] != doc.ID || proof["cryptosuite"] != "ecdsa-jcs-2019" || proof["proofPurpose"] != "assertionMethod" || !slices.Contains(doc.AssertionMethod, method) {
			return false
		}
		// The same key stands in the document once more, as a JWK.
		for _, m := range doc.VerificationMethod {
			if m.ID != method+"-jwk" || m.PublicKeyJwk.Crv != "P-256" {
				continue
			}
			x, err1 := base64.RawURLEncoding.DecodeString(m.PublicKeyJwk.X)
			y, err2 := base64.RawURLEncoding.DecodeString(m.PublicKeyJwk.Y)
			key, err3 := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
			if err1 != nil || err2 != nil || err3 != nil {
				t.Fatal(err1, err2, err3)
			}
			sum := sha256.Sum256(slices.Concat(h(canonical(t, proof)), h(canonical(t, c))))
			sig := base58(value[1:])
			return value[0] == 'z' && len(sig) == 64 && ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
		}
		return false
	}
	if !verify(v.Record) {
		t.Error("the record does not verify")
	}
	if verify([]byte(strings.Replace(string(v.Record), `"evaluations": "256"`, `"evaluations": "512"`, 1))) {
		t.Error("a changed record verifies")
	}
	var c struct {
		Type              []string
		CredentialSubject map[string]string
	}
	if err := json.Unmarshal(v.Record, &c); err != nil {
		t.Fatal(err)
	}
	s := c.CredentialSubject
	if !slices.Equal(c.Type, []string{"VerifiableCredential", "IhyidUnilateralRecord"}) || s["evaluations"] != "256" || s["claims"] != "0" || s["responder"] != doc.ID || len(s) != 23 {
		t.Errorf("%v %v", c.Type, s)
	}
	// The transcript is over the record's own members.
	names := []string{"v", "exchange", "initiator", "responder", "initiatorDocument", "responderDocument", "agreement", "profile", "purpose", "protocol", "epoch", "pk",
		"initiatorRoot", "initiatorCount", "responderRoot", "responderCount"}
	of := map[string]any{}
	for _, n := range names {
		of[n] = s[n]
	}
	var want octets
	if err := want.UnmarshalText([]byte(s["transcript"])); err != nil || !bytes.Equal(want, h(canonical(t, of))) {
		t.Error("the transcript is of something else")
	}
}

// canonical is the form of RFC 8785 of JSON that holds no numbers and no text beyond ASCII.
func canonical(t *testing.T, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

func base58(s string) []byte {
	n := new(big.Int)
	for _, c := range s {
		i := strings.IndexRune("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", c)
		if i < 0 {
			return nil
		}
		n.Add(n.Mul(n, big.NewInt(58)), big.NewInt(int64(i)))
	}
	if n.BitLen() > 512 {
		return nil
	}
	return n.FillBytes(make([]byte, 64))
}
