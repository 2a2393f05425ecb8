// Package pkcs11 is the key store in a hardware security module, or anything
// else that speaks PKCS #11 (OASIS, v2.40; v3.x libraries serve too). SoftHSM2
// is the one it is tested with. It needs cgo: a program built without it, or with
// the tag nopkcs11, has the same face and answers [ErrNotBuilt].
//
// # What is kept where
//
// Everything is kept in the token, and nothing of it outside, so a token that is
// moved to another machine takes its key store along. Signing keys are EC key
// pairs and the wrapping key is an AES-256 key; all are made inside the token,
// sensitive and not extractable, and that is read back before a key is used. CKA_ID
// holds the 16 bytes of the key id. What is known of a key stands in the CKA_LABEL
// of its private half, in one of
//
//	ihyid/1 assert 20260301T120000.123456
//	ihyid/1 auth   20260301T120000.123456 20260401T120000.123456
//	ihyid/1 wrap   20260301T120000.123456
//
// with single spaces: the purpose, the time of its making, and, once retired, the
// time of that, in UTC. The label is written in the same call that makes the key, so
// no crash leaves a key without it; it can be read by any tool of the module; it
// is changed only by whoever is logged in; and unlike data objects (CKO_DATA) it is
// offered by every module. Of the wrapping keys the newest is the active one. Public
// keys are not secret and modules do not protect them, so every one is proved by a
// signature of its private half before it is told to anybody. Objects with other
// labels are left alone, but two nodes cannot share one token.
//
// # Sessions, and tokens that go away
//
// A store holds a bounded number of sessions; a call that gets none within
// [Options.WaitLimit] ends with [kms.ErrBusy]. crypto11, through which this package
// opens the token and makes and finds keys, never recovers a lost session. So
// errors are looked at: where the token, the session or the log-in is gone, all is
// closed and opened again in the background, with growing pauses, until it
// works; calls meanwhile wait, and end with [kms.ErrUnavailable] only after
// [Options.RecoverLimit]. Some libraries, SoftHSM among them, see a token that came
// back only after C_Finalize, which ends the sessions of all stores on that
// library in this process; they are then all opened again.
//
// Signatures are made with copies of the private keys as session objects, where
// the token allows such copies: they too never leave the module, but take no
// access to its storage, which SoftHSM serves one thread at a time (the benchmark
// shows what it is worth). [Options.NoCopies] turns this off.
//
// # PINs
//
// A wrong PIN is offered once. The failure is remembered, in the process and
// in the file [Options.PINMemory], and the same PIN is refused without asking the
// token until somebody changes it or removes that file; a service that is restarted in
// a loop thus never locks its token. Nor does a store use up a last attempt that the
// token announces, unless [Options.UseFinalTry] is set.
//
// # Why AES-GCM does not go through crypto11
//
// Its AEAD panics where the token fails, loses the error's code, takes nonces of
// 16 bytes unless told otherwise, and has no way to give back the nonce of modules
// that insist on drawing it. The same calls are made here directly.
package pkcs11
