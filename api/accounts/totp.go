package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// The parameters of the second factor, those that every authenticator app has: RFC 6238 with HMAC-SHA-1, six digits, thirty
// seconds. One step before and after now is taken, for clocks that differ (section 5.2).
const (
	totpPeriod  = 30
	totpSkew    = 1
	totpDigits  = otp.DigitsSix
	totpAlgo    = otp.AlgorithmSHA1
	totpSecret  = 20 // bytes, as RFC 4226 section 4 recommends
	recoveries  = 10 // codes
	recoveryLen = 16 // characters of base32: 80 bits
)

// secondFactor is an account's second factor. It is not changed; use gives another one.
type secondFactor struct {
	Secret    string   `json:"secret"` // base32
	Confirmed bool     `json:"confirmed,omitempty"`
	Last      int64    `json:"last,omitempty"`     // the step whose code was used last
	Recovery  [][]byte `json:"recovery,omitempty"` // SHA-256 of the codes that are left
}

// codeOf gives the code of a step (RFC 6238 section 4.2).
func codeOf(secret string, step int64, algorithm otp.Algorithm, digits otp.Digits) (string, error) {
	return totp.GenerateCodeCustom(secret, time.Unix(step*totpPeriod, 0), totp.ValidateOpts{Period: totpPeriod, Digits: digits, Algorithm: algorithm})
}

// use takes a code, of the app or for recovery, and gives the factor that does not take it again.
func (f *secondFactor) use(code string, now time.Time) (*secondFactor, error) {
	code = strings.ToUpper(strings.Map(func(c rune) rune {
		if c == ' ' || c == '-' {
			return -1
		}
		return c
	}, code))
	next := *f
	step := now.Unix() / totpPeriod
	for s := step - totpSkew; s <= step+totpSkew; s++ {
		want, err := codeOf(f.Secret, s, totpAlgo, totpDigits)
		if err != nil {
			return nil, fmt.Errorf("accounts: a second factor that is kept cannot be read: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && s > f.Last {
			next.Last = s
			return &next, nil
		}
	}
	if len(code) != recoveryLen {
		return nil, ErrCode
	}
	sum := sha256.Sum256([]byte(code))
	for i, r := range f.Recovery {
		if subtle.ConstantTimeCompare(r, sum[:]) == 1 {
			next.Recovery = slices.Delete(slices.Clone(f.Recovery), i, i+1)
			return &next, nil
		}
	}
	return nil, ErrCode
}

// TOTPSecret is what an authenticator app needs.
type TOTPSecret struct {
	Secret string `json:"secret" doc:"Base32, to type in."`
	URL    string `json:"url" doc:"otpauth URL, to show as a QR code. Nothing but the app must see it."`
}

// BeginTOTP draws a second factor for an account. It counts once ConfirmTOTP has seen a code of it.
func (a *Accounts) BeginTOTP(ctx context.Context, id string) (TOTPSecret, error) {
	raw := make([]byte, totpSecret)
	rand.Read(raw)
	secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	name := ""
	_, err := a.change(ctx, id, endNothing, func(c *account) error {
		if c.TOTP != nil && c.TOTP.Confirmed {
			return fmt.Errorf("%w: the account has a second factor already; switch it off first", ErrState)
		}
		c.TOTP, name = &secondFactor{Secret: secret}, c.Name
		return nil
	})
	if err != nil {
		return TOTPSecret{}, err
	}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/Ihyid:" + name, RawQuery: url.Values{"secret": {secret}, "issuer": {"Ihyid"}}.Encode()}
	return TOTPSecret{secret, u.String()}, nil
}

// Recovery are the codes for the day on which the app is lost. Each is good once.
type Recovery struct {
	Codes []string `json:"recovery_codes" nullable:"false" doc:"Shown once: the node keeps digests only."`
}

// ConfirmTOTP makes the drawn factor count, once a code shows that the app has it, and gives recovery codes.
func (a *Accounts) ConfirmTOTP(ctx context.Context, id, code, address string) (Recovery, error) {
	c, err := a.get(id)
	if err != nil {
		return Recovery{}, err
	}
	try, err := a.begin(ctx, c.Name, address, false)
	if err != nil {
		return Recovery{}, err
	}
	var r Recovery
	_, err = a.change(ctx, id, endNothing, func(c *account) error {
		if c.TOTP == nil || c.TOTP.Confirmed {
			return fmt.Errorf("%w: no second factor waits to be confirmed; begin one first", ErrState)
		}
		next, err := c.TOTP.use(code, a.now())
		if err != nil {
			return err
		}
		next.Confirmed = true
		for range recoveries {
			var b [10]byte
			rand.Read(b[:])
			text := base32.StdEncoding.EncodeToString(b[:])
			sum := sha256.Sum256([]byte(text))
			next.Recovery = append(next.Recovery, sum[:])
			r.Codes = append(r.Codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		}
		c.TOTP = next
		return nil
	})
	if err != nil {
		return Recovery{}, err
	}
	return r, a.forgive(ctx, try)
}

// EndTOTP takes the second factor from one's own account. The password and a code show that it is the owner.
func (a *Accounts) EndTOTP(ctx context.Context, id, password, code, address string) (Account, error) {
	old, try, err := a.confirm(ctx, id, password, address) // forgiven only with the code as well: else codes could be guessed without end
	if err != nil {
		return Account{}, err
	}
	out, err := a.change(ctx, id, endNothing, func(c *account) error {
		if c.Hash != old.Hash || c.Generation != old.Generation || c.Disabled {
			return ErrSignIn
		}
		if c.TOTP == nil {
			return fmt.Errorf("%w: the account has no second factor", ErrState)
		}
		if c.TOTP.Confirmed {
			if _, err := c.TOTP.use(code, a.now()); err != nil {
				return err
			}
		}
		c.TOTP = nil
		return nil
	})
	if err != nil {
		return Account{}, err
	}
	return out, a.forgive(ctx, try)
}

// ResetTOTP takes the second factor from an account whose owner has lost it, as an admin does. All its tokens end.
func (a *Accounts) ResetTOTP(ctx context.Context, who string, versions ...uint64) (Account, error) {
	return a.change(ctx, who, endAll, func(c *account) error {
		if err := c.unchanged(versions); err != nil {
			return err
		}
		if c.TOTP == nil {
			return fmt.Errorf("%w: the account has no second factor", ErrState)
		}
		c.TOTP = nil
		return nil
	})
}
