// Package interop holds tests of the credentials here against a foreign implementation in Node.js. The tests
// install it from the package registry; without Node they skip, unless IHYID_REQUIRE_NODE is 1.
package interop
