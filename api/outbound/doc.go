// Package outbound is the guarded HTTPS client that a node uses for every request to a host
// that somebody else names: DID documents and peers.
//
// # What it guards against
//
//   - Server-side request forgery: the address that is actually dialled, after DNS and after
//     every redirect, must be a public unicast address or lie in [Options.AllowedNetworks].
//     Checking names or looked-up addresses beforehand would miss DNS rebinding. Proxies
//     from the environment are not used: they would dial in our stead.
//   - Plain text: only https URLs, also after a redirect; TLS 1.3 unless [Options.MinTLS]
//     says 1.2.
//   - Endless or huge replies: bodies are cut off with [ErrTooLarge] while they stream,
//     headers at 64 KiB; no transparent decompression, so that what is counted is what
//     arrives.
//   - Slow replies: separate bounds on connecting, on waiting for headers and on the whole.
//   - Redirect loops: at most three; none for a request with a body or credentials.
//
// # Nouns
//
// A [Client], made by [New], does [Client.Fetch] for documents (it is a did.Fetcher) and
// [Client.Do] for requests to peers. Its errors say what an operator can do, and match the
// sentinels of this package by [errors.Is].
//
// # Caveats
//
// A network that is allowed is allowed for every host and port. An address is judged when a
// connection is made; a kept connection is used again without another look.
package outbound
