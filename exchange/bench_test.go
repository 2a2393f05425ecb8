package exchange

import (
	"testing"

	"ihyid/did"
)

// BenchmarkVerifyReceipt verifies a receipt as an auditor does, with both DID documents at hand.
func BenchmarkVerifyReceipt(b *testing.B) {
	w := newWorld(b)
	x, y := w.add("a.example"), w.add("b.example")
	x.importCSV(listA)
	y.importCSV(listB)
	befriend(x, y)
	e := x.run(y)
	file, err := x.Receipt(b.Context(), e.ID)
	must(b, err)
	var docs []*did.Document
	for _, n := range []*testNode{x, y} {
		d, err := did.ParseDocument(n.DocumentJSON())
		must(b, err)
		docs = append(docs, d)
	}
	for b.Loop() {
		if !VerifyReceipt(b.Context(), file, VerifyReceiptOptions{Documents: docs}).Passed() {
			b.Fatal("the receipt does not verify")
		}
	}
}
