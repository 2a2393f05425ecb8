package vectors

import (
	"encoding/hex"

	"ihyid/exchange/merkle"
)

// Hex is bytes, in JSON as lower-case hexadecimal.
type Hex []byte

// MarshalText implements [encoding.TextMarshaler].
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hex) UnmarshalText(b []byte) (err error) {
	*h, err = hex.AppendDecode(nil, b)
	return err
}

// MerkleVectors is merkle.json.
type MerkleVectors struct {
	Comment string        `json:"comment"`
	Small   []SmallSet    `json:"small"`
	Large   LargeSet      `json:"large"`
	Chunks  map[int]int   `json:"chunkEntries"` // by entry size
	Padding []PaddedCount `json:"padding"`
}

// SmallSet is a set in full, with the inclusion proofs of all its entries.
type SmallSet struct {
	EntrySize int                `json:"entrySize"`
	Entries   Hex                `json:"entries"`
	Root      merkle.Hash        `json:"root"`
	Proofs    [][]merkle.Hash    `json:"proofs"`
	Committed *merkle.Commitment `json:"commitment"`
}

// LargeSet is a set of several chunks whose entry i is uint64 i ‖ SHA-512(uint64 i)[0:56].
type LargeSet struct {
	Count     int                   `json:"count"`
	Committed *merkle.Commitment    `json:"commitment"`
	Proofs    map[int][]merkle.Hash `json:"proofs"` // by index
}

// PaddedCount is a count and what it is padded to.
type PaddedCount struct {
	Count  uint64 `json:"count"`
	Padded uint64 `json:"padded"`
}

// NoiseVectors is noise.json.
type NoiseVectors struct {
	Comment    string             `json:"comment"`
	Seed       Hex                `json:"seed"`
	Initiator  []Hex              `json:"initiatorDigests"`
	Responder  []Hex              `json:"responderDigests"`
	Entries    Hex                `json:"entries"`
	Committed  *merkle.Commitment `json:"commitment"`
	Transcript Hex                `json:"transcript"`
	Rows       []Hex              `json:"responderRows"` // of each responder digest
	Claims     Hex                `json:"claims"`
	Claimed    *merkle.Commitment `json:"claimsCommitment"`
	Untrue     []Untrue           `json:"untrue"`
}

// Untrue is a well-formed claim that must be refused.
type Untrue struct {
	Why   string `json:"why"`
	Claim Hex    `json:"claim"`
}

// VOPRFVectors is voprf.json.
type VOPRFVectors struct {
	Comment    string             `json:"comment"`
	Key        Hex                `json:"key"`
	PublicKey  Hex                `json:"publicKey"`
	BlindSeed  Hex                `json:"blindSeed"`
	TagSeed    Hex                `json:"tagSeed"`
	Initiator  []Hex              `json:"initiatorDigests"`
	Responder  []Hex              `json:"responderDigests"`
	Points     Hex                `json:"blindedPoints"`
	Committed  *merkle.Commitment `json:"commitment"`
	Evaluated  Hex                `json:"evaluatedPoints"`
	Proof      Hex                `json:"proof"`
	Outputs    []Hex              `json:"initiatorOutputs"` // out[0:48] of each initiator digest
	Tags       Hex                `json:"tags"`
	TagsRoot   *merkle.Commitment `json:"tagsCommitment"`
	Transcript Hex                `json:"transcript"`
	Set        uint32             `json:"set"`
	Rows       []Hex              `json:"initiatorRows"` // of each initiator digest
	Claims     Hex                `json:"claims"`
	Claimed    *merkle.Commitment `json:"claimsCommitment"`
	Untrue     []Untrue           `json:"untrue"`
}

// ChangeVectors is changes.json: what a later exchange of an epoch says of an earlier one.
type ChangeVectors struct {
	Comment   string             `json:"comment"`
	Sizes     []uint32           `json:"sizes"`    // points of the sets of the epoch, by number
	Standing  Hex                `json:"standing"` // claims that stand before
	Claims    Hex                `json:"claims"`   // of the later exchange
	Claimed   *merkle.Commitment `json:"claimsCommitment"`
	After     []ClaimedRow       `json:"after"` // what stands then, ascending
	Invalid   []Untrue           `json:"invalid"`
	Mismatch  []Untrue           `json:"mismatch"` // well-formed lists that do not fit what stands
	Pairs     Hex                `json:"pairs"`    // answers that stand before
	Answers   Hex                `json:"answers"`  // of the later exchange
	Answered  *merkle.Commitment `json:"answersCommitment"`
	Whole     Hex                `json:"whole"` // the pairs that stand then
	WholeRoot merkle.Hash        `json:"answersRoot"`
}

// ClaimedRow is a claim that stands, by its place.
type ClaimedRow struct {
	Set   uint32 `json:"set"`
	Index uint32 `json:"index"`
	Row   Hex    `json:"row"`
}

// AnswerVectors is answers.json.
type AnswerVectors struct {
	Comment   string             `json:"comment"`
	Answers   []Answer           `json:"answers"`
	Encoded   Hex                `json:"encoded"`
	Committed *merkle.Commitment `json:"commitment"`
	Invalid   []Untrue           `json:"invalid"`
}

// Answer is an answer in words.
type Answer struct {
	Initiator Hex    `json:"initiatorRow"`
	Responder Hex    `json:"responderRow"`
	Keys      []int  `json:"keys"` // numbers of the match keys that agree
	Tier      string `json:"tier"`
}
