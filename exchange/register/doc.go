// Package register keeps the node's own contacts.
package register
