//go:build cgo && !nopkcs11

package pkcs11

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
	"github.com/thales-e-security/pool"

	"ihyid/kms"
)

// verdict is what an error of the library says of the connection.
type verdict uint8

const (
	fine    verdict = iota // the error is the operation's own
	suspect                // could be either: look at the token
	lost                   // the connection is of no use any more
)

func judge(err error) verdict {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return fine
	}
	switch code {
	case pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED,
		pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SLOT_ID_INVALID,
		pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED:
		return lost
	case pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_MEMORY,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_FUNCTION_CANCELED,
		pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_TYPE_INCONSISTENT,
		pkcs11.CKR_FUNCTION_REJECTED, pkcs11.CKR_OPERATION_NOT_INITIALIZED:
		return suspect
	}
	return fine
}

// staleHandle tells that an object is not there under its handle any more. The
// last two are SoftHSM's answers where it goes in the midst of the call.
func staleHandle(err error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID,
		pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED, pkcs11.CKR_KEY_TYPE_INCONSISTENT:
		return true
	}
	return false
}

// badCiphertext tells that a decryption failed by what was to be decrypted. The
// standard has several codes for it, and SoftHSM answers with a general one.
func badCiphertext(err error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case pkcs11.CKR_ENCRYPTED_DATA_INVALID, pkcs11.CKR_ENCRYPTED_DATA_LEN_RANGE, pkcs11.CKR_DATA_INVALID,
		pkcs11.CKR_DATA_LEN_RANGE, pkcs11.CKR_SIGNATURE_INVALID, pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED,
		pkcs11.CKR_ARGUMENTS_BAD, aeadDecryptFailed:
		return true
	}
	return false
}

// aeadDecryptFailed is CKR_AEAD_DECRYPT_FAILED of PKCS #11 v3.0.
const aeadDecryptFailed pkcs11.Error = 0x35

// pinFault gives the error for a log-in that was refused because of the PIN;
// nil where it failed otherwise. It must not be tried again in either case.
func pinFault(err error) error {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return nil
	}
	switch code {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		return fmt.Errorf("%w (%w)", ErrWrongPIN, err)
	case pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return fmt.Errorf("%w (%w)", ErrPINLocked, err)
	}
	return nil
}

// busy turns the pool's own time-out into ours.
func busy(err error) error {
	if errors.Is(err, pool.ErrTimeout) {
		return fmt.Errorf("%w: no session became free", kms.ErrBusy)
	}
	return err
}
