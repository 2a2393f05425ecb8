package pkcs11

import "context"

// MaxPIN is the greatest size of a PIN in bytes.
const MaxPIN = 256

type pinKind uint8

const (
	noPIN pinKind = iota
	pinFile
	pinEnv
	pinPrompt
)

// PIN says where the PIN of the token comes from. There is none for a PIN
// written in the program or on its command line, where others could see it.
// The zero value is no PIN.
type PIN struct {
	kind   pinKind
	name   string // path or variable
	prompt func(ctx context.Context, token string) ([]byte, error)
}

// PINFile reads the PIN from a file that only its owner may read, without the
// line ending at its end.
func PINFile(path string) PIN { return PIN{kind: pinFile, name: path} }

// PINEnv reads the PIN from an environment variable.
func PINEnv(variable string) PIN { return PIN{kind: pinEnv, name: variable} }

// PINPrompt asks a person, once, when the store is opened; token is its label.
// The slice is wiped after use.
func PINPrompt(ask func(ctx context.Context, token string) ([]byte, error)) PIN {
	return PIN{kind: pinPrompt, prompt: ask}
}
