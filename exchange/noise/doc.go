// Package noise is the matching protocol of that name, free of input and output.
package noise
