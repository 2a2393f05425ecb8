package exchange

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Limits of what one node takes from another, in bytes.
const (
	MaxPresentation = 1 << 20 // a message; the longest is a commitment to a large set
	MaxChunk        = 1 << 20 // PROTOCOL section 4
	maxSmallReply   = 64 << 10
)

const routeChunk = "/exchanges/{id}/{set}/chunks/{index}"

// Transport carries one request to a peer. It must refuse what is not HTTPS, bound the reply at MaxReply bytes,
// and give an error only when no answer came; every HTTP status is an answer.
type Transport interface {
	Send(ctx context.Context, r TransportRequest) (TransportResponse, error)
}

// TransportRequest is one HTTP request. A Token travels as "Authorization: Bearer …".
type TransportRequest struct {
	Method, URL, Token, ContentType string
	// Route is what is asked for, without ids and host: for those who observe.
	Route    string
	Body     []byte
	MaxReply int64
}

// TransportResponse is the answer to it, whole.
type TransportResponse struct {
	Status      int
	ContentType string
	Body        []byte
}

// call sends one request to a peer and turns network failures and problem documents into errors.
func (n *Node) call(ctx context.Context, r TransportRequest) ([]byte, error) {
	if n.transport == nil {
		return nil, fail(CodeUnreachable, "this node has no network")
	}
	resp, err := n.transport.Send(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &Error{Code: CodeUnreachable, Detail: "the other node could not be reached", Err: err}
	}
	if resp.Status >= 200 && resp.Status < 300 {
		return resp.Body, nil
	}
	return nil, peerProblem(resp)
}

// PeerProblem is what another node answered instead of doing what it was asked.
type PeerProblem struct {
	Status int
	Type   string // the last part of the problem type: one of the codes, if it is a node of our kind
	Detail string
}

func (p *PeerProblem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("the other node answered %d %s", p.Status, http.StatusText(p.Status))
	}
	return fmt.Sprintf("the other node answered %d: %s", p.Status, p.Detail)
}

// Temporary reports whether the same request may succeed later without anyone doing anything.
func (p *PeerProblem) Temporary() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusRequestTimeout || p.Status >= 500
}

// peerProblem reads an RFC 9457 document as far as it is one. Its words are a stranger's: cut to a line.
func peerProblem(resp TransportResponse) error {
	p := &PeerProblem{Status: resp.Status}
	var doc struct {
		Type   string `json:"type"`
		Detail string `json:"detail"`
	}
	if len(resp.Body) <= maxSmallReply && json.Unmarshal(resp.Body, &doc) == nil {
		p.Type = doc.Type[strings.LastIndexAny(doc.Type, ":/#")+1:]
		p.Detail = oneLine(doc.Detail, 300)
	}
	return &Error{Code: CodePeerError, Detail: "the other node refused", Err: p}
}

// oneLine makes a stranger's words safe to show: printable characters only, at most limit of them.
func oneLine(s string, limit int) string {
	var b strings.Builder
	count := 0
	for _, r := range s {
		if count++; count > limit {
			b.WriteString("…")
			break
		}
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x200e && r <= 0x200f) || (r >= 0x2028 && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// sendChunk gives the responder one chunk of an own set.
func (n *Node) sendChunk(ctx context.Context, s *session, to peerAddress, set string, index uint32, body []byte) error {
	if to.carried != nil {
		return nil // it is in the file that went before
	}
	url := fmt.Sprintf("%s/exchanges/%s/%s/chunks/%d", to.Endpoint, s.ID, set, index)
	_, err := n.call(ctx, TransportRequest{Method: "PUT", URL: url, Route: routeChunk, Token: s.Token, ContentType: "application/octet-stream", Body: body, MaxReply: maxSmallReply})
	if err != nil {
		return n.renewToken(ctx, s, err)
	}
	return nil
}

// fetchChunk gets one chunk of a set from the responder.
func (n *Node) fetchChunk(ctx context.Context, s *session, to peerAddress, set string, index uint32, most int) ([]byte, error) {
	if to.carried != nil {
		return n.carriedChunk(ctx, s, set, index)
	}
	url := fmt.Sprintf("%s/exchanges/%s/%s/chunks/%d", to.Endpoint, s.ID, set, index)
	body, err := n.call(ctx, TransportRequest{Method: "GET", URL: url, Route: routeChunk, Token: s.Token, MaxReply: int64(most)})
	if err != nil {
		return nil, n.renewToken(ctx, s, err)
	}
	return body, nil
}
