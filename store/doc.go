// Package store keeps everything a node must remember in one encrypted file.
package store
