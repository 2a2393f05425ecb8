package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ihyid/api/policy"
	"ihyid/credentials/ijson"
)

// Outcome is what came of an operation.
type Outcome string

// The outcomes.
const (
	Done   Outcome = "done"
	Failed Outcome = "failed" // with a code; of Of, if that record said that it was done
	Denied Outcome = "denied" // the caller may not, or did not show who it is
	Made   Outcome = "made"   // names the object that the operation of the record Of made
)

// Record is one line of the record. It is not changed once it is written.
type Record struct {
	Number    uint64      `json:"number" doc:"From 1 on, without gaps."`
	Time      time.Time   `json:"time"`
	Account   string      `json:"account,omitempty" doc:"The account's id; socket for the user who runs the node; left out for a stranger."`
	Role      policy.Role `json:"role,omitempty"`
	How       policy.How  `json:"how,omitempty" doc:"By what the caller showed who it is."`
	Session   string      `json:"session,omitempty" doc:"The id of the sign-in or of the API token."`
	Operation string      `json:"operation" example:"contacts-import"`
	Object    string      `json:"object,omitempty" doc:"What it was done to: an id, a number or a DID."`
	Outcome   Outcome     `json:"outcome" enum:"done,failed,denied,made"`
	Code      string      `json:"code,omitempty" doc:"Of the problem that was answered."`
	Of        uint64      `json:"of,omitempty" doc:"The record that this one goes with."`
	Count     uint64      `json:"count,omitempty" doc:"So many more of the hour before, which were not recorded one by one."`
	Previous  string      `json:"previous" doc:"Digest of the record before, hex."`
	Digest    string      `json:"digest" doc:"SHA-256 of this record, hex."`
}

// zero is what the first record has as the digest of the one before.
var zero = strings.Repeat("0", 2*sha256.Size)

// digest computes the record's digest; see doc.go.
func (r *Record) digest() string {
	members := map[string]any{}
	put := func(name, value string) {
		if value != "" {
			members[name] = value
		}
	}
	number := func(name string, n uint64) {
		if n != 0 {
			put(name, strconv.FormatUint(n, 10))
		}
	}
	number("number", r.Number)
	put("time", r.Time.UTC().Format(time.RFC3339))
	put("account", r.Account)
	put("role", string(r.Role))
	put("how", string(r.How))
	put("session", r.Session)
	put("operation", r.Operation)
	put("object", r.Object)
	put("outcome", string(r.Outcome))
	put("code", r.Code)
	number("of", r.Of)
	number("count", r.Count)
	put("previous", r.Previous)
	text, err := ijson.Canonical(members)
	if err != nil { // strings that clean made
		panic(fmt.Sprintf("audit: a record has no canonical form: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ownID is the form of ids that the node makes: counted numbers, and drawn hex.
var ownID = regexp.MustCompile(`^([1-9][0-9]{0,8}|[0-9a-f]{16,64})$`)

// IsOwnID reports whether an object has the form of an id that the node makes. Nine digits at most: a
// number of identity that somebody typed in the wrong place is longer.
func IsOwnID(object string) bool { return ownID.MatchString(object) }

// clean keeps what can stand in a record: short, and printable ASCII.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < 0x21 || c > 0x7e {
			return -1
		}
		return c
	}, s)
	return s[:min(len(s), 256)]
}
