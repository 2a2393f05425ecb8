// Package kms is the key store of a node: it creates keys, gives out signers by key id and wraps data keys.
package kms
