// Package file is the embedded key store: one file of sealed keys.
package file
