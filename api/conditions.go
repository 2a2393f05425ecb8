package api

import (
	"math"
	"strconv"
	"strings"

	"ihyid/exchange"
)

// IfMatch is the condition of a change (RFC 9110 section 13.1.1).
type IfMatch struct {
	IfMatch string `header:"If-Match" maxLength:"1024" doc:"Entity tags, as the thing was given with: it must still have one of them, else nothing is done (412 precondition-failed). * or left out: whatever it is now." example:"\"7\""`
}

// maxTags bounds how many entity tags are looked at.
const maxTags = 32

// never is a version that nothing has.
const never = math.MaxUint64

// versions gives the versions one of which the thing must have; none where there is no condition. All entity tags of this API are the decimal number of a
// version; others, and weak ones, match nothing.
func (m IfMatch) versions() ([]uint64, error) {
	rest := strings.Trim(m.IfMatch, " \t")
	if rest == "" || rest == "*" {
		return nil, nil
	}
	wrong := newProblem(exchange.CodeInvalid, `If-Match: entity tags such as "7", separated by commas, or *`)
	var list []uint64
	for range maxTags {
		weak := strings.HasPrefix(rest, "W/")
		tag, after, ok := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rest, "W/"), `"`), `"`)
		if !ok || !strings.HasPrefix(strings.TrimPrefix(rest, "W/"), `"`) || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return nil, wrong
		}
		v, err := strconv.ParseUint(tag, 10, 64)
		if err != nil || weak || strconv.FormatUint(v, 10) != tag {
			v = never
		}
		list = append(list, v)
		after = strings.Trim(after, " \t")
		if after == "" {
			return list, nil
		}
		if rest, ok = strings.CutPrefix(after, ","); !ok {
			return nil, wrong
		}
		rest = strings.Trim(rest, " \t")
	}
	return nil, newProblem(exchange.CodeInvalid, "If-Match: at most 32 entity tags")
}

// tagged is an answer with its entity tag.
type tagged[T any] struct {
	ETag string `header:"ETag" doc:"For If-Match."`
	Body T
}

func asTagged[T interface{ ETag() string }](v T, err error) (*tagged[T], error) {
	if err != nil {
		return nil, err
	}
	return &tagged[T]{v.ETag(), v}, nil
}

// under does a change under its condition.
func under[T interface{ ETag() string }](m IfMatch, change func(versions ...uint64) (T, error)) (*tagged[T], error) {
	versions, err := m.versions()
	if err != nil {
		return nil, err
	}
	return asTagged(change(versions...))
}
