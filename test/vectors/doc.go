// Package vectors makes the published test vectors of what two nodes compute alike when they match contacts: committed sets,
// noise claims, voprf claims and answers. They lie beside this file as JSON, with what they mean in README.md, for whoever
// writes another implementation.
//
// They are made with this project's packages (go generate ./test/vectors), and checked by the tests with a second
// implementation that shares no code with the first: it uses the standard library and github.com/cloudflare/circl only.
package vectors

//go:generate go run ./make
//go:generate go test ihyid/exchange -run ^TestUnilateralVector$ -write-vectors
