package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Bounds of passwords: characters at least, bytes at most.
const (
	MinPassword = 12
	MaxPassword = 1024
)

// parameters are those of argon2id.
type parameters struct {
	Time    uint32
	Memory  uint32 // KiB
	Threads uint8
}

// hashParameters are those of sign-ins (PROTOCOL section 1).
var hashParameters = parameters{Time: 2, Memory: 19 << 10, Threads: 1}

const saltSize, hashSize = 16, 32

// hasher computes argon2id, a few at a time.
type hasher struct {
	at      chan struct{} // places to compute in
	waiting chan struct{} // places to wait in
	runs    atomic.Uint64 // how many were computed
	dummy   string        // a hash that no password has
}

func newHasher() (*hasher, error) {
	n := max(2, runtime.NumCPU())
	h := &hasher{at: make(chan struct{}, n), waiting: make(chan struct{}, 16*n)}
	random := make([]byte, 32)
	rand.Read(random)
	var err error
	h.dummy, err = h.hash(context.Background(), base64.RawStdEncoding.EncodeToString(random))
	return h, err
}

// run computes one hash once there is a place.
func (h *hasher) run(ctx context.Context, password string, salt []byte, p parameters, size uint32) ([]byte, error) {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, ErrBusy
	}
	select {
	case h.at <- struct{}{}:
		defer func() { <-h.at }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.runs.Add(1)
	return argon2.IDKey([]byte(password), salt, p.Time, p.Memory, p.Threads, size), nil
}

// hash gives the PHC string of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	p := hashParameters
	sum, err := h.run(ctx, password, salt, p, hashSize)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Time, p.Threads, b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// verify compares a password with a PHC string; "" stands for an account without a password, and costs the same.
func (h *hasher) verify(ctx context.Context, password, phc string) (bool, error) {
	there := phc != ""
	if !there {
		phc = h.dummy
	}
	p, salt, want, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	got, err := h.run(ctx, password, salt, p, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && there, nil
}

// parsePHC reads a PHC string that hash made, perhaps with other parameters.
func parsePHC(phc string) (p parameters, salt, sum []byte, err error) {
	parts := strings.Split(phc, "$")
	bad := errors.New("accounts: a password hash that is kept cannot be read")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, nil, nil, bad
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.Memory, &p.Time, &p.Threads); err != nil {
		return p, nil, nil, bad
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(sum) < 16 || len(sum) > 64 ||
		p.Time < 1 || p.Time > 16 || p.Memory < 8 || p.Memory > 1<<20 || p.Threads < 1 || p.Threads > 16 {
		return p, nil, nil, bad
	}
	return p, salt, sum, nil
}

// normalName gives the one form of a name (RFC 8265 section 3.3), so that nobody's looks like another's by case or width.
func normalName(name string) (string, error) {
	if len(name) > 256 || !utf8.ValidString(name) {
		return "", ErrName
	}
	n, err := precis.UsernameCaseMapped.String(name)
	if c := utf8.RuneCountInString(n); err != nil || c < 2 || c > 64 {
		return "", ErrName
	}
	return n, nil
}

// normalPassword gives the one form of a password that may be set. Those are compared in which people can be expected to differ by keyboard.
func normalPassword(password string) string { return norm.NFKC.String(password) }

// checkPassword says whether a password may be set for a name; both are normal.
func checkPassword(name, password string) error {
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fmt.Errorf("%w: it is not text", ErrPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("%w: it has more than %d bytes", ErrPassword, MaxPassword)
	case utf8.RuneCountInString(password) < MinPassword:
		return fmt.Errorf("%w: it has fewer than %d characters; a few words in a row are good", ErrPassword, MinPassword)
	}
	lower := strings.ToLower(password)
	// The name itself, also written twice or with something short about it, is what is tried first.
	if rest := strings.ReplaceAll(lower, name, ""); len(rest) < len(lower) && utf8.RuneCountInString(rest) < MinPassword/2 {
		return fmt.Errorf("%w: it is the account's name, or little more", ErrPassword)
	}
	different := map[rune]bool{}
	for _, c := range lower {
		different[c] = true
	}
	if len(different) < 5 {
		return fmt.Errorf("%w: it has fewer than 5 different characters", ErrPassword)
	}
	return nil
}
