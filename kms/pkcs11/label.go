//go:build cgo && !nopkcs11

package pkcs11

import (
	"fmt"
	"strings"
	"time"

	"ihyid/kms"
)

// label is what CKA_LABEL tells of a key; doc.go has its form.
type label struct {
	wrapping bool
	purpose  kms.Purpose // unless wrapping
	created  time.Time   // to the microsecond, UTC
	retired  time.Time   // zero: not
}

const (
	labelPrefix = "ihyid/1 "
	labelTime   = "20060102T150405.000000"
)

func (l label) String() string {
	kind := "wrap"
	if !l.wrapping {
		kind = map[kms.Purpose]string{kms.AssertionMethod: "assert", kms.Authentication: "auth", kms.SignIn: "signin"}[l.purpose]
	}
	s := labelPrefix + kind + " " + l.created.UTC().Format(labelTime)
	if !l.retired.IsZero() {
		s += " " + l.retired.UTC().Format(labelTime)
	}
	return s
}

// parseLabel reads a label; not ours is neither a label nor an error, as a token
// may hold other things. One that begins like ours and goes on otherwise is an
// error: it must not pass for a key that is not there.
func parseLabel(s string) (l label, ours bool, err error) {
	rest, ours := strings.CutPrefix(s, labelPrefix)
	if !ours {
		return label{}, false, nil
	}
	f := strings.Split(rest, " ")
	if len(f) < 2 || len(f) > 3 {
		return label{}, true, fmt.Errorf("label %.80q is not of the form of this program", s)
	}
	switch f[0] {
	case "assert":
		l.purpose = kms.AssertionMethod
	case "auth":
		l.purpose = kms.Authentication
	case "signin":
		l.purpose = kms.SignIn
	case "wrap":
		l.wrapping = true
	default:
		return label{}, true, fmt.Errorf("label %.80q names a purpose that this program does not know", s)
	}
	if l.created, err = time.Parse(labelTime, f[1]); err == nil && len(f) == 3 {
		l.retired, err = time.Parse(labelTime, f[2])
	}
	if err != nil || l.String() != s {
		return label{}, true, fmt.Errorf("label %.80q has a malformed time", s)
	}
	return l, true, nil
}
