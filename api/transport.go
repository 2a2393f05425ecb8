package api

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"ihyid/exchange"
)

// Doer does a request to a host that somebody else names, guarded; *outbound.Client has it.
type Doer interface {
	Do(ctx context.Context, req *http.Request, maxBytes int64) (*http.Response, error)
}

// Transport carries what this node asks of others over HTTP.
func Transport(d Doer) exchange.Transport { return transport{d} }

type transport struct{ doer Doer }

// Send does one request. Every status is an answer; an error means that none came.
func (t transport) Send(ctx context.Context, r exchange.TransportRequest) (exchange.TransportResponse, error) {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return exchange.TransportResponse{}, err
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	resp, err := t.doer.Do(ctx, req, r.MaxReply)
	if err != nil {
		return exchange.TransportResponse{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return exchange.TransportResponse{}, err
	}
	return exchange.TransportResponse{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: answer}, nil
}
