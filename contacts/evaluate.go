package contacts

// Score is how well some pairs agree with the truth. Precision is the share of pairs found that are true, recall the share
// of true pairs that are found, F1 their harmonic mean; each is 0 where it is not defined.
type Score struct {
	TruePositives  int     `json:"true_positives"`
	FalsePositives int     `json:"false_positives"`
	FalseNegatives int     `json:"false_negatives"`
	Precision      float64 `json:"precision"`
	Recall         float64 `json:"recall"`
	F1             float64 `json:"f1"`
}

// Evaluation is the score of the matches alone, and of matches and possible matches together: what is found if a person reviews.
type Evaluation struct {
	Match  Score `json:"match"`
	Review Score `json:"review"`
}

// Evaluate compares pairs with the true pairs, given by their places in the lists. Pairs of [Duplicates] have the lower place first, and
// so must their truth.
func Evaluate(pairs []Pair, truth [][2]int) Evaluation {
	truths := make(map[[2]int]bool, len(truth))
	for _, t := range truth {
		truths[t] = true
	}
	var e Evaluation
	for _, p := range pairs {
		ok := truths[[2]int{p.A, p.B}]
		if p.Tier == TierMatch {
			e.Match.count(ok)
		}
		if p.Tier != TierNone {
			e.Review.count(ok)
		}
	}
	e.Match.finish(len(truths))
	e.Review.finish(len(truths))
	return e
}

func (s *Score) count(ok bool) {
	if ok {
		s.TruePositives++
	} else {
		s.FalsePositives++
	}
}

func (s *Score) finish(truths int) {
	s.FalseNegatives = truths - s.TruePositives
	if found := s.TruePositives + s.FalsePositives; found > 0 {
		s.Precision = float64(s.TruePositives) / float64(found)
	}
	if truths > 0 {
		s.Recall = float64(s.TruePositives) / float64(truths)
	}
	if s.Precision+s.Recall > 0 {
		s.F1 = 2 * s.Precision * s.Recall / (s.Precision + s.Recall)
	}
}
