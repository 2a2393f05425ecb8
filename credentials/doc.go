// Package credentials issues and verifies W3C Verifiable Credentials and Presentations.
package credentials
