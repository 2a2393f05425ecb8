// Package store keeps everything a node must remember in one encrypted bbolt file.
package store
