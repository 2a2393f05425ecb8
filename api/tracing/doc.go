// Package tracing tells an OpenTelemetry collector what the node did and how long it took: which requests it answered, which jobs it ran, in which
// stages its exchanges were, what it asked of peers. It speaks OTLP over HTTP (opentelemetry.io/docs/specs/otlp, protobuf, gzip).
//
// The noun: a Tracing makes spans and sends them in batches. A nil *Tracing is one that is switched off: all its methods work and do nothing.
//
// # What a span holds
//
// Only words that this program has in its own source, counts, times and random numbers: the route as the program writes it, never a path or a query;
// the method, status, kind of problem; the kind of a job and its number; role, protocol and state of an exchange; the random id of a request, which
// stands in the log and in the answer. No id of a contact, no DID, no host, no address, no message of an error, nothing that a caller or peer
// sent. The attributes are those of the OpenTelemetry semantic conventions for HTTP where they fit (http.request.method, http.route,
// http.response.status_code, error.type, server spans); those conventions also ask for url.path, client.address and user_agent, which are left out on
// purpose, and why the usual middleware (otelhttp) is not used.
//
// # Nothing is propagated
//
// A trace begins at this node and ends at it. No traceparent header is sent to peers, since it would let whoever sees the traces of two
// organisations join them, and none is read from callers, since it would let a stranger write into the operator's traces.
//
// # Caveats
//
// Spans wait in a bounded queue; when a collector is away or slow they are dropped, and the node works on. The default error handler of the
// OpenTelemetry library, which is one for the process, is set by New.
package tracing
