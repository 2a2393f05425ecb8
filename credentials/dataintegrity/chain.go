package dataintegrity

import "maps"

// Signed gives the document that a proof signs: without any proof, or, for a proof that names previous
// ones, with those as its proofs (Data Integrity sections 4.3 and 4.5). all are the proofs of the document.
func Signed(unsecured map[string]any, all []*Proof, previous []string) (map[string]any, error) {
	if len(previous) == 0 {
		return unsecured, nil
	}
	wanted := make(map[string]bool, len(previous))
	for _, id := range previous {
		wanted[id] = true
	}
	var matching []any
	for _, p := range all {
		if p.ID != "" && wanted[p.ID] {
			matching = append(matching, p.raw)
			delete(wanted, p.ID)
		}
	}
	if len(wanted) > 0 {
		return nil, failf(ProofVerification, "previousProof names a proof that the document does not have")
	}
	document := maps.Clone(unsecured)
	document["proof"] = matching
	return document, nil
}

// Raw is the proof as it stands in the document. It is not to be changed.
func (p *Proof) Raw() map[string]any { return p.raw }
