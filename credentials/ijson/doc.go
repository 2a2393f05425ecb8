// Package ijson reads hostile JSON strictly and writes its canonical form.
//
// What it reads is I-JSON (RFC 7493), which is what the JSON Canonicalization Scheme (RFC 8785) is
// defined over, and a little less: the same key twice in one object, bytes that are not UTF-8, a lone
// surrogate written as an escape, a number that a 64-bit float cannot keep, anything after the
// document, and more bytes, levels or values than the limits allow are all errors. Two readers can
// therefore never see two different documents in the same bytes, which is what a signature needs.
//
// Values are those of encoding/json: map[string]any, []any, string, float64, bool and nil.
//
// Errors name a line and a column, never what stands there: documents hold personal data.
package ijson
