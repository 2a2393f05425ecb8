// Package jobs is the persistent job queue.
package jobs
