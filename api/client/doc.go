// Package client speaks to a node's local API: over the Unix socket of its data directory, or over
// HTTPS with a token.
//
// Its errors are made for the person who reads them: [*NotRunning] says how to start the node,
// [*Problem] is what the node answered, with what to do about it where that is known.
//
// Uploads and downloads stream. Following a job reconnects by itself when the connection breaks or
// the node restarts.
package client
