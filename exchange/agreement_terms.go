package exchange

import (
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"ihyid/exchange/merkle"
)

// Terms are what an agreement says. All members are strings or lists of strings: numbers in decimal, times in UTC seconds.
type Terms struct {
	V         string   `json:"v"`
	Salt      string   `json:"salt"` // 16 random bytes, hex: no two agreements are the same
	Proposer  string   `json:"proposer"`
	Accepter  string   `json:"accepter"`
	Purposes  []string `json:"purposes"`
	Profiles  []string `json:"profiles"` // "sha256:…"
	Protocols []string `json:"protocols"`

	ProposerSize      string `json:"proposerSize"` // contacts in the register, as declared
	AccepterSize      string `json:"accepterSize"`
	ProposerElements  string `json:"proposerElements"` // most elements of its sets in an epoch, padding included: evaluations if it initiates, tags if it responds
	AccepterElements  string `json:"accepterElements"`
	EvaluationsPerDay string `json:"evaluationsPerDay"`
	EpochDays         string `json:"epochDays"`
	Possibles         string `json:"possibles"`     // "true" if possible matches are disclosed
	RetentionDays     string `json:"retentionDays"` // how long results may be kept
	Begins            string `json:"begins"`
	Ends              string `json:"ends"`
}

// elementBudget is the most elements of a register's sets in an epoch: a tenth more than the declared contacts have keys, padded,
// and room for increments, which are padded too.
func elementBudget(size uint64, keys int) uint64 {
	n := size * uint64(keys)
	return merkle.PaddedCount(n+n/10) + DefaultIncrements*merkle.PaddedCount(1)
}

// parsed are the terms in numbers.
type parsedTerms struct {
	elements      map[string]uint64 // by DID
	perDay        uint64
	epoch, retain time.Duration
	from, until   time.Time
	possibles     bool
}

// parse checks terms whole, also those that this node made itself.
func (t *Terms) parse() (*parsedTerms, error) {
	bad := func(what string) error {
		return fail(CodeInvalid, "the terms of the agreement cannot be: %s", what)
	}
	switch {
	case t.V != "1" || !isHex(t.Salt, 16):
		return nil, bad("version or salt")
	case t.Proposer == t.Accepter:
		return nil, bad("one party on both sides")
	}
	for _, list := range [][]string{t.Purposes, t.Profiles, t.Protocols} {
		if len(list) == 0 || len(list) > maxAgreementItems || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			return nil, bad("purposes, profiles and protocols are 1 to 16 each, sorted, none twice")
		}
	}
	for _, p := range t.Purposes {
		if err := checkPurpose(p); err != nil {
			return nil, err
		}
	}
	var out parsedTerms
	var proposer, accepter, epochDays, retention uint64
	for _, f := range []struct {
		name, text string
		to         *uint64
		most       uint64
	}{
		{"proposerSize", t.ProposerSize, new(uint64), merkle.MaxCount}, {"accepterSize", t.AccepterSize, new(uint64), merkle.MaxCount},
		{"proposerElements", t.ProposerElements, &proposer, merkle.MaxCount}, {"accepterElements", t.AccepterElements, &accepter, merkle.MaxCount},
		{"evaluationsPerDay", t.EvaluationsPerDay, &out.perDay, merkle.MaxCount}, {"epochDays", t.EpochDays, &epochDays, 30},
		{"retentionDays", t.RetentionDays, &retention, 36500},
	} {
		v, err := parseCount(f.text)
		if err != nil || v == 0 || v > f.most {
			return nil, bad(f.name)
		}
		*f.to = v
	}
	out.elements = map[string]uint64{t.Proposer: proposer, t.Accepter: accepter}
	out.epoch, out.retain = time.Duration(epochDays)*24*time.Hour, time.Duration(retention)*24*time.Hour
	if t.Possibles != "true" && t.Possibles != "false" {
		return nil, bad("possibles")
	}
	out.possibles = t.Possibles == "true"
	var err1, err2 error
	out.from, err1 = time.Parse(time.RFC3339, t.Begins)
	out.until, err2 = time.Parse(time.RFC3339, t.Ends)
	if err1 != nil || err2 != nil || timeText(out.from) != t.Begins || timeText(out.until) != t.Ends || !out.from.Before(out.until) || out.until.Sub(out.from) > maxAgreementLife {
		return nil, bad("begins and ends")
	}
	return &out, nil
}

func (t *Terms) digest() (string, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	return digestJSON(raw)
}

// covers says why an exchange is not within the terms; nil if it is.
func (t *Terms) covers(now time.Time, profile, purpose, protocol string) error {
	p, err := t.parse()
	switch {
	case err != nil:
		return err
	case now.Before(p.from.Add(-MaxClockDifference)):
		return fail(CodePeerState, "the agreement begins at %s", t.Begins)
	case !now.Before(p.until):
		return fail(CodePeerState, "the agreement ended at %s", t.Ends)
	case !slices.Contains(t.Purposes, purpose):
		return fail(CodePeerState, "the agreement does not have that purpose")
	case !slices.Contains(t.Profiles, profile):
		return fail(CodePeerState, "the agreement does not have that matching profile")
	case !slices.Contains(t.Protocols, protocol):
		return fail(CodePeerState, "the agreement does not have the protocol %s", protocol)
	}
	return nil
}

// terms makes the terms of a request.
func (n *Node) terms(ctx context.Context, r AgreementRequest) (*Terms, error) {
	salt, err := n.randomHex(16)
	if err != nil {
		return nil, err
	}
	now := n.now().UTC().Truncate(time.Second)
	t := &Terms{V: "1", Salt: salt, Proposer: n.DID(), Accepter: r.Peer, Purposes: sorted(r.Purposes), Protocols: sorted(r.Protocols)}
	if len(t.Protocols) == 0 {
		t.Protocols = []string{ProtocolVOPRF}
	}
	for _, p := range t.Protocols {
		if _, ok := protocols[p]; !ok {
			return nil, fail(CodeUnsupported, "this node does not speak the protocol %q", oneLine(p, 40))
		}
	}
	keys := 1
	for _, name := range r.Profiles {
		p, ok := n.profiles[name]
		if !ok {
			return nil, fail(CodeUnknownProfile, "there is no matching profile named %q here", oneLine(name, 80))
		}
		keys = max(keys, p.NumKeys())
		t.Profiles = append(t.Profiles, p.ID())
	}
	t.Profiles = sorted(t.Profiles)
	if r.OwnSize == 0 {
		if r.OwnSize, err = n.register.Count(ctx); err != nil {
			return nil, err
		}
		r.OwnSize = max(r.OwnSize, 1)
	}
	if r.PeerSize == 0 {
		r.PeerSize = r.OwnSize
	}
	if hi, _ := bits.Mul64(max(r.OwnSize, r.PeerSize), uint64(2*keys)); hi > 0 || max(r.OwnSize, r.PeerSize) > merkle.MaxCount {
		return nil, fail(CodeInvalid, "a register has at most %d contacts", merkle.MaxCount)
	}
	own, theirs := min(elementBudget(r.OwnSize, keys), merkle.MaxCount), min(elementBudget(r.PeerSize, keys), merkle.MaxCount)
	if r.EvaluationsPerDay == 0 {
		r.EvaluationsPerDay = max(own, theirs)
	}
	for p, def := range map[*int]int{&r.EpochDays: 30, &r.RetentionDays: 365, &r.ValidDays: 365} {
		if *p == 0 {
			*p = def
		}
	}
	t.ProposerSize, t.AccepterSize = fmt.Sprint(r.OwnSize), fmt.Sprint(r.PeerSize)
	t.ProposerElements, t.AccepterElements = fmt.Sprint(own), fmt.Sprint(theirs)
	t.EvaluationsPerDay, t.EpochDays, t.RetentionDays = fmt.Sprint(r.EvaluationsPerDay), fmt.Sprint(r.EpochDays), fmt.Sprint(r.RetentionDays)
	t.Possibles = fmt.Sprint(!r.HidePossibles)
	t.Begins, t.Ends = timeText(now), timeText(now.AddDate(0, 0, r.ValidDays))
	_, err = t.parse()
	return t, err
}

func sorted(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}
