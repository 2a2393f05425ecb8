package quality

import (
	"context"

	"ihyid/contacts"
	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
)

// Lists are two lists and the pairs of places that are one person.
type Lists = Simulation

// Result is what a profile makes of two lists.
type Result struct {
	contacts.Evaluation
	Contacts int     `json:"contacts"` // of the longer list
	Curve    []Point `json:"curve"`    // from the loosest rule to the strictest
}

// Point is a point of the curve: every pair with so many points counts as found. Points as in the profile's tier rule.
type Point struct {
	Points    int     `json:"points"`
	Recall    float64 `json:"recall"`
	Precision float64 `json:"precision"`
}

// Measure matches two lists under a built-in profile.
func Measure(ctx context.Context, profile string, l Lists) (r Result, err error) {
	p, err := contacts.BuiltinProfile(profile)
	if err != nil {
		return r, err
	}
	a, err := contacts.EncodeAll(ctx, p, l.A, nil)
	if err != nil {
		return r, err
	}
	b, err := contacts.EncodeAll(ctx, p, l.B, nil)
	if err != nil {
		return r, err
	}
	pairs, err := contacts.Match(ctx, p, a, b, nil)
	if err != nil {
		return r, err
	}
	r = Result{Evaluation: contacts.Evaluate(pairs, l.Truth), Contacts: max(len(l.A), len(l.B))}
	most := 0
	for _, q := range pairs {
		most = max(most, p.Points(q.Keys))
	}
	for n := 1; n <= most; n++ {
		// What has n points counts as a match, and nothing else.
		kept := make([]contacts.Pair, 0, len(pairs))
		for _, q := range pairs {
			if p.Points(q.Keys) >= n {
				q.Tier = contacts.TierMatch
				kept = append(kept, q)
			}
		}
		s := contacts.Evaluate(kept, l.Truth).Match
		if last := len(r.Curve) - 1; last >= 0 && r.Curve[last].Recall == s.Recall && r.Curve[last].Precision == s.Precision {
			r.Curve[last].Points = n
			continue
		}
		r.Curve = append(r.Curve, Point{n, s.Recall, s.Precision})
	}
	return r, nil
}

// Code chains a normaliser and an encoder; false if there is no such.
func Code(normaliser, encoder string) (func(string) string, bool) {
	n, ok1 := normalise.Lookup(normaliser)
	e, ok2 := encode.Lookup(encoder)
	return func(s string) string { return string(e(nil, string(n(nil, s)))) }, ok1 && ok2
}

// Spelling is how well a code brings the spellings of names together.
type Spelling struct {
	Latin   float64 `json:"latin"`   // share of pairs of Latin spellings of one name that agree
	Scripts float64 `json:"scripts"` // share of Latin spellings that agree with the native script
	Collide float64 `json:"collide"` // share of pairs of different names, in Latin spelling, that agree
}

// MeasureSpelling measures a code on names.
func MeasureSpelling(names []Name, code func(string) string) (s Spelling) {
	var latin, scripts float64
	byCode := map[string]map[int]float64{}
	for i, n := range names {
		native := code(n.Native)
		var codes []string
		for _, l := range n.Latin {
			c := code(l)
			scripts++
			if c == native {
				s.Scripts++
			}
			for _, other := range codes {
				latin++
				if c == other {
					s.Latin++
				}
			}
			codes = append(codes, c)
			if byCode[c] == nil {
				byCode[c] = map[int]float64{}
			}
			byCode[c][i] += 1 / float64(len(n.Latin))
		}
	}
	s.Latin /= max(latin, 1)
	s.Scripts /= max(scripts, 1)
	for _, names := range byCode {
		sum, squares := 0.0, 0.0
		for _, v := range names {
			sum += v
			squares += v * v
		}
		s.Collide += sum*sum - squares
	}
	n := float64(len(names))
	s.Collide /= max(n*(n-1), 1)
	return s
}

// MeasurePairs gives the share of pairs that agree, of names and of people, and the share of different native names that collide.
func MeasurePairs(pairs []NamePair, code func(string) string) (ofNames, ofPeople, collide float64) {
	var agree, people, all float64
	byCode, seen := map[string]float64{}, map[string]bool{}
	for _, p := range pairs {
		x := code(p.Native)
		all += float64(p.Count)
		if code(p.Latin) == x {
			agree++
			people += float64(p.Count)
		}
		if !seen[p.Native] {
			seen[p.Native] = true
			byCode[x]++
		}
	}
	for _, n := range byCode {
		collide += n * (n - 1)
	}
	n := float64(len(seen))
	return agree / max(float64(len(pairs)), 1), people / max(all, 1), collide / max(n*(n-1), 1)
}
