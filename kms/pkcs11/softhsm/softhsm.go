// Package softhsm sets up SoftHSM2 tokens in a folder, for tests and for the
// demonstration: real PKCS #11 with no hardware and no tools beside the library.
// SoftHSM keeps keys in files, sealed by the PIN, and does its arithmetic in the
// memory of this process, so it guards them no better than kms/file does.
package softhsm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ihyid/kms/pkcs11"
)

// ConfVariable is the environment variable by which SoftHSM finds its
// configuration. It is read whenever the library is initialised, so it must be
// set (with [os.Setenv]) before the first token is opened, and stay.
const ConfVariable = "SOFTHSM2_CONF"

// LibraryVariable is the environment variable that names the library where it
// is in none of the usual places.
const LibraryVariable = "IHYID_SOFTHSM_LIBRARY"

var places = []string{
	"/usr/lib/softhsm/libsofthsm2.so", // Debian, Ubuntu
	"/usr/lib64/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so", // Fedora
	"/usr/lib/pkcs11/libsofthsm2.so",   // Arch
	"/usr/local/lib/softhsm/libsofthsm2.so",
	"/opt/homebrew/lib/softhsm/libsofthsm2.so",
}

// ErrNoLibrary says that SoftHSM is not installed.
var ErrNoLibrary = errors.New("the SoftHSM2 library was not found: install the package softhsm2, or name it in " + LibraryVariable)

// Library finds the library. [ErrNoLibrary].
func Library() (string, error) {
	if p := os.Getenv(LibraryVariable); p != "" {
		if _, err := os.Stat(p); err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoLibrary, err)
		}
		return p, nil
	}
	for _, p := range places {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", ErrNoLibrary
}

// Setup makes folder/softhsm2.conf and folder/tokens, unless they are there, and
// gives the absolute path of the former, for [ConfVariable].
func Setup(folder string) (conf string, err error) {
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("set up SoftHSM: %w", err)
	}
	if strings.ContainsAny(folder, "\n=#") {
		return "", fmt.Errorf("set up SoftHSM: its configuration cannot express the path %q", folder)
	}
	tokens := filepath.Join(folder, "tokens")
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		return "", fmt.Errorf("set up SoftHSM: %w", err)
	}
	conf = filepath.Join(folder, "softhsm2.conf")
	text := "directories.tokendir = " + tokens + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := writeNew(conf, []byte(text)); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("set up SoftHSM: %w", err)
	}
	return conf, nil
}

// NewToken sets up a token with random PINs, which it leaves in folder/LABEL.pin
// and folder/LABEL.so-pin, readable by their owner only, and gives the options
// that open it. The label must do as a file name. [ErrNoLibrary],
// [pkcs11.ErrExists], [pkcs11.ErrNotBuilt].
func NewToken(ctx context.Context, folder, label string) (pkcs11.Options, error) {
	library, err := Library()
	if err != nil {
		return pkcs11.Options{}, err
	}
	if label == "" || filepath.Base(label) != label || label == "." || label == ".." {
		return pkcs11.Options{}, fmt.Errorf("set up a token: the label %q does not do as a file name", label)
	}
	user, so := filepath.Join(folder, label+".pin"), filepath.Join(folder, label+".so-pin")
	for _, name := range []string{user, so} {
		// A file left by an attempt that was broken off is as good as a new one.
		if err := writeNew(name, []byte(rand.Text()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
			return pkcs11.Options{}, fmt.Errorf("set up a token: %w", err)
		}
	}
	_, err = pkcs11.InitToken(ctx, pkcs11.TokenSpec{Library: library, Label: label, SOPIN: pkcs11.PINFile(so), UserPIN: pkcs11.PINFile(user)})
	if err != nil {
		return pkcs11.Options{}, err
	}
	return pkcs11.Options{Library: library, TokenLabel: label, PIN: pkcs11.PINFile(user)}, nil
}

func writeNew(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}
