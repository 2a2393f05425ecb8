package accounts_test

import (
	"encoding/base32"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pquerna/otp"

	"ihyid/api/accounts"
	"ihyid/api/policy"
)

// The vectors of RFC 6238, appendix B, for all three hash functions.
func TestRFC6238(t *testing.T) {
	secret := func(text string) string {
		return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(text))
	}
	keys := map[otp.Algorithm]string{
		otp.AlgorithmSHA1:   secret("12345678901234567890"),
		otp.AlgorithmSHA256: secret("12345678901234567890123456789012"),
		otp.AlgorithmSHA512: secret("1234567890123456789012345678901234567890123456789012345678901234"),
	}
	for _, v := range []struct {
		seconds   int64
		algorithm otp.Algorithm
		code      string
	}{
		{59, otp.AlgorithmSHA1, "94287082"}, {59, otp.AlgorithmSHA256, "46119246"}, {59, otp.AlgorithmSHA512, "90693936"},
		{1111111109, otp.AlgorithmSHA1, "07081804"}, {1111111109, otp.AlgorithmSHA256, "68084774"}, {1111111109, otp.AlgorithmSHA512, "25091201"},
		{1111111111, otp.AlgorithmSHA1, "14050471"}, {1111111111, otp.AlgorithmSHA256, "67062674"}, {1111111111, otp.AlgorithmSHA512, "99943326"},
		{1234567890, otp.AlgorithmSHA1, "89005924"}, {1234567890, otp.AlgorithmSHA256, "91819424"}, {1234567890, otp.AlgorithmSHA512, "93441116"},
		{2000000000, otp.AlgorithmSHA1, "69279037"}, {2000000000, otp.AlgorithmSHA256, "90698825"}, {2000000000, otp.AlgorithmSHA512, "38618901"},
		{20000000000, otp.AlgorithmSHA1, "65353130"}, {20000000000, otp.AlgorithmSHA256, "77737706"}, {20000000000, otp.AlgorithmSHA512, "47863826"},
	} {
		if got, err := accounts.CodeAt(keys[v.algorithm], v.seconds/30, v.algorithm, otp.DigitsEight); err != nil || got != v.code {
			t.Errorf("%v at %d: %s, %v, want %s", v.algorithm, v.seconds, got, err, v.code)
		}
	}
}

// TestSecondFactor: it counts once confirmed, each code once, clocks may differ a little, and recovery codes are good once.
func TestSecondFactor(t *testing.T) {
	n := newNode(t, issuer)
	a := n.add("fatima", policy.Admin)
	n.in("fatima")
	drawn, err := n.BeginTOTP(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	n.in("fatima") // not confirmed: it does not count yet
	code := func(steps int64) string {
		c, err := accounts.CodeAt(drawn.Secret, n.clock.now().Unix()/30+steps, otp.AlgorithmSHA1, otp.DigitsSix)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	signIn := func(code string) error {
		_, err := n.SignIn(t.Context(), "fatima", password, code, home)
		return err
	}
	if _, err := n.ConfirmTOTP(t.Context(), a.ID, "000000x", home); !errors.Is(err, accounts.ErrCode) {
		t.Errorf("a wrong code confirms: %v", err)
	}
	recovery, err := n.ConfirmTOTP(t.Context(), a.ID, code(0), home)
	if err != nil || len(recovery.Codes) != 10 {
		t.Fatalf("%d codes, %v", len(recovery.Codes), err)
	}
	n.restart()
	if _, err := n.BeginTOTP(t.Context(), a.ID); !errors.Is(err, accounts.ErrState) {
		t.Errorf("a second factor is put in place of one that counts: %v", err)
	}
	if err := signIn(""); !errors.Is(err, accounts.ErrSecondFactor) {
		t.Errorf("without a code: %v", err)
	}
	if _, err := n.SignIn(t.Context(), "fatima", "wrong wrong wrong", code(1), home); !errors.Is(err, accounts.ErrSignIn) {
		t.Errorf("a code without the password: %v", err)
	}
	if err := signIn(code(0)); !errors.Is(err, accounts.ErrSecondFactor) {
		t.Errorf("the code that confirmed, again: %v", err)
	}
	n.clock.pass(accounts.MaxDelay)
	now := code(0)
	if err := signIn(now); err != nil {
		t.Fatalf("the code of now: %v", err)
	}
	n.restart()
	if err := signIn(now); !errors.Is(err, accounts.ErrSecondFactor) {
		t.Errorf("a used code: %v", err)
	}
	if err := signIn(code(-1)); !errors.Is(err, accounts.ErrSecondFactor) {
		t.Errorf("a code from before the used one: %v", err)
	}
	if err := signIn(code(1)); err != nil {
		t.Errorf("the next code, on a clock that is fast: %v", err)
	}
	n.clock.pass(5 * time.Minute)
	if err := signIn(code(2)); !errors.Is(err, accounts.ErrSecondFactor) {
		t.Errorf("a code from a minute ahead: %v", err)
	}
	if err := signIn(recovery.Codes[3]); err != nil {
		t.Errorf("a recovery code: %v", err)
	}
	if err := signIn(recovery.Codes[3]); !errors.Is(err, accounts.ErrSecondFactor) {
		t.Errorf("a recovery code again: %v", err)
	}
	if _, err := n.EndTOTP(t.Context(), a.ID, "wrong wrong wrong", code(0), home); !errors.Is(err, accounts.ErrSignIn) {
		t.Errorf("switched off without the password: %v", err)
	}
	n.clock.pass(accounts.MaxDelay)
	if out, err := n.EndTOTP(t.Context(), a.ID, password, code(0), home); err != nil || out.SecondFactor {
		t.Errorf("%+v, %v", out, err)
	}
	if err := signIn(""); err != nil {
		t.Errorf("after it was switched off: %v", err)
	}
}

// Who has the password and a sign-in cannot guess at the second factor for as long as it likes, from whatever addresses.
func TestSecondFactorIsNotGuessed(t *testing.T) {
	n := newNode(t, issuer)
	a := n.add("fatima", policy.Admin)
	drawn, err := n.BeginTOTP(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	code, err := accounts.CodeAt(drawn.Secret, n.clock.now().Unix()/30, otp.AlgorithmSHA1, otp.DigitsSix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ConfirmTOTP(t.Context(), a.ID, code, home); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		_, err = n.EndTOTP(t.Context(), a.ID, password, "000000x", fmt.Sprintf("192.0.2.%d", i))
		var wait *accounts.DelayError
		if errors.As(err, &wait) {
			return
		}
	}
	t.Errorf("ten codes were tried without a delay: %v", err)
}

// TestAskedForTheCodeAfterwards: who gives the password first and the code when asked does nothing wrong, however many at one address do it; and
// a password alone does not take back the codes that were guessed.
func TestAskedForTheCodeAfterwards(t *testing.T) {
	n := newNode(t, issuer)
	a := n.add("fatima", policy.Admin)
	drawn, err := n.BeginTOTP(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	code := func() string {
		c, err := accounts.CodeAt(drawn.Secret, n.clock.now().Unix()/30, otp.AlgorithmSHA1, otp.DigitsSix)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if _, err := n.ConfirmTOTP(t.Context(), a.ID, code(), home); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		n.clock.pass(30 * time.Second)
		if _, err := n.SignIn(t.Context(), "fatima", password, "", home); !errors.Is(err, accounts.ErrSecondFactor) {
			t.Fatalf("%d: without the code: %v", i, err)
		}
		if _, err := n.SignIn(t.Context(), "fatima", password, code(), home); err != nil {
			t.Fatalf("%d: with the code: %v", i, err)
		}
	}
	const elsewhere = "192.0.2.77"
	for i := range 10 {
		var wait *accounts.DelayError
		if _, err := n.SignIn(t.Context(), "fatima", password, "", elsewhere); errors.As(err, &wait) {
			return
		}
		if _, err := n.SignIn(t.Context(), "fatima", password, "000000x", elsewhere); errors.As(err, &wait) {
			if i < 3 {
				t.Errorf("a delay after %d codes", i)
			}
			return
		}
	}
	t.Error("ten codes were tried without a delay")
}
