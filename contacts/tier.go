package contacts

import (
	"errors"
	"math/bits"
	"strconv"
)

// Strength says what a match key that agrees is worth.
type Strength string

// The strengths, by which a tier rule gives points.
const (
	// Strong keys make a match alone under the built-in profiles.
	Strong Strength = "strong"
	// Weak keys make a match together.
	Weak Strength = "weak"
	// Hints count least: they settle what weak keys leave open.
	Hint Strength = "hint"
)

// TierRule says what the keys that agree amount to: the points of each are added up, and two contacts are a match from so many
// points on, and a possible match from so many. Numbers are strings, as in all that is hashed. Under levant/1 and cyrillic/1 a
// strong key has 6 points, a weak one 2 and a hint 1; a match has 6 or more, a possible match 3.
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

// Points adds up the points of the keys that agree, bit i for key i. Bits without a key count nothing.
func (p *Profile) Points(keys uint32) int {
	return p.points.strong*bits.OnesCount32(keys&p.strong) +
		p.points.weak*bits.OnesCount32(keys&p.weak) +
		p.points.hint*bits.OnesCount32(keys&p.hint)
}

// Tier applies the tier rule to the keys that agree, see [Profile.Points].
func (p *Profile) Tier(keys uint32) Tier {
	points := p.Points(keys)
	switch {
	case points >= p.points.match:
		return TierMatch
	case points >= p.points.possible:
		return TierPossible
	}
	return TierNone
}
