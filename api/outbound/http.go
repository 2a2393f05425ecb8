package outbound

import "net/http"

// HTTPClient gives an [http.Client] that sends by [Client.Do], for libraries that want one. It reads at most maxBytes of an answer.
func (c *Client) HTTPClient(maxBytes int64) *http.Client {
	return &http.Client{
		Transport:     roundTripper{c, maxBytes},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // Do has followed what may be followed
	}
}

type roundTripper struct {
	client   *Client
	maxBytes int64
}

// RoundTrip implements [http.RoundTripper].
func (t roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.client.Do(req.Context(), req, t.maxBytes)
}
