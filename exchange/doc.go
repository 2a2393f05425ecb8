// Package exchange is all that two or more nodes do together.
package exchange
