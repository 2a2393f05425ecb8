package contacts

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/gowebpki/jcs"

	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
)

// Bounds of a profile. Each key costs a peer a curve multiplication and some hundred bytes for every contact.
const (
	// MaxProfileBytes bounds the document.
	MaxProfileBytes = 64 << 10
	// MaxKeys bounds the match keys of a profile.
	MaxKeys = 16
	// MaxParts bounds the parts of a match key: more than a contact has fields makes no sense.
	MaxParts = 12
)

// profileFormat is the version of the document's own form.
const profileFormat = "ihyid-matching-profile/1"

// ErrProfile is returned for a document that is not a matching profile.
var ErrProfile = errors.New("contacts: not a valid matching profile")

// ErrUnknownProfile is returned for a name that no built-in profile has.
var ErrUnknownProfile = errors.New("contacts: unknown matching profile")

// Strength says what a match key that agrees is worth.
type Strength string

// The strengths.
const (
	// Strong keys make a match alone.
	Strong Strength = "strong"
	// Weak keys make a match together, and alone a possible match.
	Weak Strength = "weak"
	// Hints count half as much as weak keys: one alone is nothing.
	Hint Strength = "hint"
)

// Part is one component of a match key: a field, how it is normalised and how encoded.
type Part struct {
	// Field is the field's name, e.g. "first_name".
	Field string `json:"field,omitempty"`
	// Fields, instead of Field, are two fields or more whose codes count in any order: first and last name, which people write
	// in either place. The part's code is theirs, sorted, with "+" between; if one is missing, it is missing.
	Fields []string `json:"fields,omitempty"`
	// As is the name of the code in the record, where it is not the field's: a key may use a field twice. Parts of several
	// fields need one.
	As string `json:"as,omitempty"`
	// Normalise and Encode are a normaliser and an encoder by name and version.
	Normalise string `json:"normalise"`
	Encode    string `json:"encode"`
}

// MatchKey is a combination of codes that two contacts may agree in.
type MatchKey struct {
	Name     string   `json:"name"`
	Strength Strength `json:"strength"`
	Parts    []Part   `json:"parts"`
}

// TierRule says what the keys that agree amount to: the points of each are added up, and two contacts are a match from so many
// points on, and a possible match from so many. Numbers are strings, as in all that is hashed. The built-in profiles have
// 4 points for a strong key, 2 for a weak one and 1 for a hint, a match at 4 and a possible match at 2.
type TierRule struct {
	Strong   string `json:"strong"`
	Weak     string `json:"weak"`
	Hint     string `json:"hint"`
	Match    string `json:"match"`
	Possible string `json:"possible"`
}

// points reads the rule; false if a number is not between 1 and maxPoints, or the order of strengths or tiers is upside down.
func (r TierRule) points() (p tierPoints, ok bool) {
	for _, n := range []struct {
		text string
		to   *int
	}{{r.Strong, &p.strong}, {r.Weak, &p.weak}, {r.Hint, &p.hint}, {r.Match, &p.match}, {r.Possible, &p.possible}} {
		i, err := strconv.Atoi(n.text)
		if err != nil || i < 1 || i > maxPoints || strconv.Itoa(i) != n.text {
			return p, false
		}
		*n.to = i
	}
	return p, p.strong >= p.weak && p.weak >= p.hint && p.match >= p.possible
}

type tierPoints struct{ strong, weak, hint, match, possible int }

// maxPoints bounds the numbers of a tier rule.
const maxPoints = 100

// document is a profile as JSON.
type document struct {
	Format      string     `json:"format"`
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Keys        []MatchKey `json:"keys"`
	Tiers       TierRule   `json:"tiers"`
}

// Profile is a matching profile: which fields, normalised and encoded how, make up each match key, and which keys make a match.
// It is immutable and safe for concurrent use.
type Profile struct {
	doc       document
	canonical []byte
	digest    [sha256.Size]byte
	id        string
	strong    uint32
	weak      uint32
	hint      uint32
	points    tierPoints
	plan      *plan
}

//go:embed profiles/*.json
var builtin embed.FS

// BuiltinProfiles lists the names of the built-in profiles, e.g. "soundex/1".
func BuiltinProfiles() []string {
	entries, err := builtin.ReadDir("profiles")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".json")
		i := strings.LastIndexByte(name, '-')
		names = append(names, name[:i]+"/"+name[i+1:])
	}
	slices.Sort(names)
	return names
}

// BuiltinProfile gives a built-in profile by name. Its error is [ErrUnknownProfile].
func BuiltinProfile(name string) (*Profile, error) {
	if !slices.Contains(BuiltinProfiles(), name) {
		return nil, fmt.Errorf("%w; there are %s", ErrUnknownProfile, strings.Join(BuiltinProfiles(), ", "))
	}
	text, err := builtin.ReadFile("profiles/" + strings.ReplaceAll(name, "/", "-") + ".json")
	if err != nil {
		return nil, fmt.Errorf("reading built-in profile %s: %w", name, err)
	}
	p, err := ParseProfile(text)
	if err != nil {
		return nil, fmt.Errorf("built-in profile %s: %w", name, err)
	}
	return p, nil
}

// ParseProfile reads a profile, strictly: unknown or doubled members, unknown normalisers or encoders, and values over the bounds are
// refused with [ErrProfile]. White space and order of members do not matter: the profile's digest is over the RFC 8785 form.
func ParseProfile(text []byte) (*Profile, error) {
	fail := func(format string, args ...any) (*Profile, error) {
		return nil, fmt.Errorf("%w: %s", ErrProfile, fmt.Sprintf(format, args...))
	}
	if len(text) > MaxProfileBytes {
		return fail("longer than %d bytes", MaxProfileBytes)
	}
	p := &Profile{}
	if err := decodeStrict(text, &p.doc); err != nil {
		return fail("%v", err)
	}
	plain, err := json.Marshal(p.doc)
	if err != nil {
		return fail("%v", err)
	}
	if p.canonical, err = jcs.Transform(plain); err != nil {
		return fail("%v", err)
	}
	if reason := p.doc.check(); reason != "" {
		return fail("%s", reason)
	}
	p.digest = sha256.Sum256(p.canonical)
	p.id = "sha256:" + hex.EncodeToString(p.digest[:])
	for i, k := range p.doc.Keys {
		switch k.Strength {
		case Strong:
			p.strong |= 1 << i
		case Weak:
			p.weak |= 1 << i
		default:
			p.hint |= 1 << i
		}
	}
	p.points, _ = p.doc.Tiers.points()
	p.plan = newPlan(p)
	return p, nil
}

// decodeStrict decodes one JSON value and refuses what encoding/json forgives: unknown members, members whose names
// differ in case, doubled members, nulls, and anything behind the value.
func decodeStrict(text []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return errors.New("not the expected JSON") // the text of json's errors may quote values
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the document")
	}
	// What was read, written again, must be what was there: nothing folded, dropped or doubled.
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a, errA := jcs.Transform(again)
	b, errB := jcs.Transform(text)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		return errors.New("it holds members that are unknown, doubled, empty or null")
	}
	return nil
}

// check gives the reason why a document is no profile, or "".
func (d *document) check() string {
	switch {
	case d.Format != profileFormat:
		return "the format is not " + profileFormat
	case !isProfileName(d.Name):
		return "the name is not of the form name/version"
	case len(d.Keys) == 0 || len(d.Keys) > MaxKeys:
		return fmt.Sprintf("it has no match key, or more than %d", MaxKeys)
	}
	if _, ok := d.Tiers.points(); !ok {
		return fmt.Sprintf("the tier rule's numbers are not between 1 and %d, or out of order", maxPoints)
	}
	names := map[string]bool{}
	for i := range d.Keys {
		k := &d.Keys[i]
		if !isWord(k.Name) || names[k.Name] {
			return fmt.Sprintf("the name of key %d is missing, doubled or has other characters than a-z, 0-9 and _", i+1)
		}
		names[k.Name] = true
		if reason := k.check(); reason != "" {
			return "key " + k.Name + ": " + reason
		}
	}
	return ""
}

func (k *MatchKey) check() string {
	switch {
	case k.Strength != Strong && k.Strength != Weak && k.Strength != Hint:
		return "the strength is none of strong, weak and hint"
	case len(k.Parts) == 0 || len(k.Parts) > MaxParts:
		return fmt.Sprintf("it has no part, or more than %d", MaxParts)
	}
	person := false
	names := map[string]bool{"key": true, "profile": true}
	for i := range k.Parts {
		part := &k.Parts[i]
		fields, ok := part.fields()
		if !ok {
			return "it names an unknown field, a field twice, or both a field and several"
		}
		person = person || slices.Contains(fields, FirstName) || slices.Contains(fields, NationalID)
		if name := part.name(); !isWord(name) || names[name] {
			return "two of its codes have one name, or one has other characters than a-z, 0-9 and _"
		} else {
			names[name] = true
		}
		if _, ok := normalise.Lookup(part.Normalise); !ok {
			return "it names an unknown normaliser"
		}
		if _, ok := encode.Lookup(part.Encode); !ok {
			return "it names an unknown encoder"
		}
	}
	// Siblings and twins share everything else.
	if !person {
		return "it holds neither the first name nor the national id"
	}
	return ""
}

// fields lists the fields of a part.
func (p *Part) fields() ([]Field, bool) {
	names := p.Fields
	if p.Field != "" {
		names = []string{p.Field}
	}
	if (p.Field == "") == (p.Fields == nil) || p.Fields != nil && len(p.Fields) < 2 {
		return nil, false
	}
	var fields []Field
	for _, n := range names {
		f, ok := ParseField(n)
		if !ok || slices.Contains(fields, f) {
			return nil, false
		}
		fields = append(fields, f)
	}
	return fields, true
}

func (p *Part) name() string {
	if p.As != "" {
		return p.As
	}
	return p.Field
}

func isWord(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isProfileName(s string) bool {
	name, version, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(version)
	return ok && isWord(strings.ReplaceAll(name, "-", "_")) && err == nil && n > 0 && n < 1e6 && strconv.Itoa(n) == version
}

// Name is the profile's name and version, e.g. "soundex/1". Two profiles may share a name; only [Profile.Digest] tells them apart.
func (p *Profile) Name() string { return p.doc.Name }

// Description is what the profile says of itself.
func (p *Profile) Description() string { return p.doc.Description }

// Digest is SHA-256 of [Profile.JSON].
func (p *Profile) Digest() [sha256.Size]byte { return p.digest }

// ID is the digest as records name it: "sha256:" and 64 hex digits.
func (p *Profile) ID() string { return p.id }

// JSON is the document in RFC 8785 form.
func (p *Profile) JSON() []byte { return bytes.Clone(p.canonical) }

// NumKeys is the number of match keys.
func (p *Profile) NumKeys() int { return len(p.doc.Keys) }

// Key gives match key i. Its parts are shared and must not be changed.
func (p *Profile) Key(i int) MatchKey { return p.doc.Keys[i] }

// KeyName is the name of match key i, or "" if there is none.
func (p *Profile) KeyName(i int) string {
	if i < 0 || i >= len(p.doc.Keys) {
		return ""
	}
	return p.doc.Keys[i].Name
}

// KeyNames lists the names of the keys in a bitmap.
func (p *Profile) KeyNames(keys uint32) []string {
	var names []string
	for i := range p.doc.Keys {
		if keys&(1<<i) != 0 {
			names = append(names, p.doc.Keys[i].Name)
		}
	}
	return names
}

// Tier says what two contacts are that agree in some keys.
type Tier uint8

// The tiers.
const (
	TierNone     Tier = iota
	TierPossible      // for a person to look at
	TierMatch
)

// String gives the tier's word: none, possible, match.
func (t Tier) String() string {
	switch t {
	case TierMatch:
		return "match"
	case TierPossible:
		return "possible"
	}
	return "none"
}

// MarshalText writes the tier's word.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the tier's word.
func (t *Tier) UnmarshalText(text []byte) error {
	switch string(text) {
	case "none":
		*t = TierNone
	case "possible":
		*t = TierPossible
	case "match":
		*t = TierMatch
	default:
		return errors.New("contacts: a tier is none, possible or match")
	}
	return nil
}

// Tier applies the tier rule to the keys that agree, bit i for key i. Bits without a key count nothing.
func (p *Profile) Tier(keys uint32) Tier {
	points := p.points.strong*bits.OnesCount32(keys&p.strong) +
		p.points.weak*bits.OnesCount32(keys&p.weak) +
		p.points.hint*bits.OnesCount32(keys&p.hint)
	switch {
	case points >= p.points.match:
		return TierMatch
	case points >= p.points.possible:
		return TierPossible
	}
	return TierNone
}
