package accounts

import "github.com/pquerna/otp"

// Hashes is how many argon2id hashes were computed so far.
func (a *Accounts) Hashes() uint64 { return a.hasher.runs.Load() }

// CodeAt gives the code of a step.
func CodeAt(secret string, step int64, algorithm otp.Algorithm, digits otp.Digits) (string, error) {
	return codeOf(secret, step, algorithm, digits)
}

// Forge signs claims with the node's own key.
func (a *Accounts) Forge(change func(*Claims)) string { return a.forge(change) }
