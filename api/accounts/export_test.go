package accounts

import "github.com/pquerna/otp"

// Production are the parameters of argon2id that a node has: passes, KiB, threads. Tests that are about something else have less.
var Production = hashParameters

func init() { hashParameters = parameters{Time: 1, Memory: 64, Threads: 1} }

// UseProduction gives new hashes the parameters of a node.
func UseProduction() { hashParameters = Production }

// Hashes is how many argon2id hashes were computed so far.
func (a *Accounts) Hashes() uint64 { return a.hasher.runs.Load() }

// CodeAt gives the code of a step.
func CodeAt(secret string, step int64, algorithm otp.Algorithm, digits otp.Digits) (string, error) {
	return codeOf(secret, step, algorithm, digits)
}

// Forge signs claims with the node's own key.
func (a *Accounts) Forge(change func(*Claims)) string { return a.forge(change) }
