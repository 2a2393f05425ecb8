// Package demo shows the main job on real input: three nodes, each a process of its own with its own DID, keys and store, register
// each other, exchange anonymised bundles of contacts, find which they have in common, and leave receipts, which are then verified as
// an auditor would, one of them after it has been tampered with.
//
// It holds what it finds against the truth file beside the example lists and against a direct comparison of
// those lists, and fails where anything is off.
package demo
