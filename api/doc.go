// Package api serves the node over HTTP.
package api
