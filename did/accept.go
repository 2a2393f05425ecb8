package did

import (
	"errors"
	"mime"
	"strconv"
	"strings"
)

// negotiate chooses among offers, best first, by an Accept header (RFC 9110 section
// 12.5.1). No header is as */*. An offer that is not acceptable is not chosen: "" then.
// Parameters other than q are not compared.
func negotiate(accept string, offers []string) (string, error) {
	if strings.TrimSpace(accept) == "" {
		return offers[0], nil
	}
	if len(accept) > 4096 {
		return "", errors.New("an Accept header of more than 4096 bytes")
	}
	type mediaRange struct {
		typ string
		q   float64
	}
	var ranges []mediaRange
	for _, part := range splitQuoted(accept) {
		if strings.TrimSpace(part) == "" {
			continue // RFC 9110 section 5.6.1
		}
		typ, params, err := mime.ParseMediaType(part)
		if err != nil || !strings.Contains(typ, "/") {
			return "", errors.New("the Accept header cannot be read")
		}
		r := mediaRange{typ, 1}
		if s, ok := params["q"]; ok {
			// A weight has at most three digits after the point.
			if r.q, err = strconv.ParseFloat(s, 64); err != nil || len(s) > 5 || !(r.q >= 0 && r.q <= 1) {
				return "", errors.New("the Accept header has a weight that is not between 0 and 1")
			}
		}
		// What universal resolvers ask for by the name of an older draft.
		if typ == "application/ld+json" && strings.Contains(params["profile"], "did-resolution") {
			r.typ = MediaTypeResolution
		}
		ranges = append(ranges, r)
	}
	best, bestQ := "", 0.0
	for _, offer := range offers {
		group, _, _ := strings.Cut(offer, "/")
		// The most specific range decides.
		q, precision := 0.0, 0
		for _, r := range ranges {
			p := 0
			switch r.typ {
			case offer:
				p = 3
			case group + "/*":
				p = 2
			case "*/*":
				p = 1
			}
			if p > precision {
				q, precision = r.q, p
			}
		}
		if q > bestQ {
			best, bestQ = offer, q
		}
	}
	return best, nil
}

// splitQuoted splits at commas that are not within quotation marks.
func splitQuoted(s string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
