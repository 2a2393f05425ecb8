package did_test

import (
	"context"
	"fmt"
	"log"

	"ihyid/did"
)

// A did:key needs no network: its document is made from the key in its name.
func ExampleNewResolver() {
	r := did.NewResolver(did.Options{}) // with Options.Web, did:web too
	res, err := r.Resolve(context.Background(), "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv")
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range res.Document.Methods() {
		fmt.Println(m.Type, m.Fragment(), res.Document.Authorizes(did.AssertionMethod, m.ID))
	}
	// Output: Multikey zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv true
}

// The DID of a node follows from its address, and where its document is from the DID.
func ExampleWebDID() {
	d, err := did.WebDID("node.ngo.example:8443", "lb")
	if err != nil {
		log.Fatal(err)
	}
	u, err := did.WebURL(d)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d)
	fmt.Println(u)
	// Output:
	// did:web:node.ngo.example%3A8443:lb
	// https://node.ngo.example:8443/lb/did.json
}
