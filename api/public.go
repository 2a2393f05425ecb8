package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"ihyid/credentials/ijson"
	"ihyid/exchange"
)

// Routes of the public side.
const (
	routeHealth     = "/healthz"
	routeChallenges = "/node/challenges"
	routeMessages   = "/node/messages"
	routeChanges    = "/node/changes"
	routeExchange   = "/node/exchanges/{id:" + idPattern + "}"
	routeChunk      = routeExchange + "/{set:[a-z]{1,32}}/chunks/{index:0|[1-9][0-9]{0,9}}"
)

// idPattern is what an exchange's id may look like in a path: one segment that cannot be taken for a
// step in a directory.
const idPattern = "[0-9A-Za-z][0-9A-Za-z_:-]{0,127}"

// routePublic adds what other nodes may ask.
func (s *Server) routePublic(router *mux.Router) {
	router.Path(routeReady).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.readiness).Name("readyz")
	router.Path(routeHealth).Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.health).Name("healthz")
	if path := s.node.DocumentPath(); path != "" {
		// Compared whole: a path out of a DID may hold braces, which are mux's own.
		router.MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool { return r.URL.Path == path }).
			Methods(http.MethodGet, http.MethodHead).HandlerFunc(s.document).Name("node-document")
	}
	router.Path(routeChallenges).Methods(http.MethodPost).HandlerFunc(s.challenge).Name("node-challenges")
	router.Path(routeMessages).Methods(http.MethodPost).HandlerFunc(s.message).Name("node-messages")
	router.Path(routeChanges).Methods(http.MethodGet).HandlerFunc(s.changes).Name("node-changes")
	router.Path(routeExchange).Methods(http.MethodGet).HandlerFunc(s.progress).Name("node-progress")
	router.Path(routeChunk).Methods(http.MethodPut).HandlerFunc(s.putChunk).Name("node-put-chunk")
	router.Path(routeChunk).Methods(http.MethodGet).HandlerFunc(s.getChunk).Name("node-get-chunk")
	s.routeVC(router)
}

// health says that the node lives, and nothing else of it.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if s.isStopping() {
		fail(w, r, errStopping)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, "application/json", []byte("{\"status\":\"ok\"}\n"))
}

// documentTypes are the media types of a DID document; the first is given to who names none.
var documentTypes = []string{"application/did+ld+json", "application/did+json", "application/did", "application/json", "application/ld+json"}

// document publishes the node's DID document (did:web, section Read).
func (s *Server) document(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Accept")
	contentType := acceptable(r.Header.Values("Accept"), documentTypes)
	if contentType == "" {
		newProblem(codeNotAcceptable, "a DID document is given as "+strings.Join(documentTypes, ", ")).write(w, requestOf(r.Context()).id)
		return
	}
	// Anybody may read it, browsers included. A short age lets a new key be seen soon.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "public, max-age=60")
	answer(w, contentType, s.node.DocumentJSON())
}

// changes gives the signed changes of the node's DID document, which are as public as that.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	c, err := s.node.Changes(r.Context(), r.URL.Query().Get("since"))
	answerJSON(w, r, c, err)
}

func (s *Server) challenge(w http.ResponseWriter, r *http.Request) {
	if _, err := mediaType(r, "application/json"); err != nil {
		fail(w, r, err)
		return
	}
	body, err := readBody(r, maxChallengeRequest)
	if err != nil {
		fail(w, r, err)
		return
	}
	request, err := parseChallengeRequest(body)
	if err != nil {
		fail(w, r, newProblem(exchange.CodeInvalid, "the body is no challenge request: "+err.Error()))
		return
	}
	c, err := s.node.Challenge(r.Context(), request)
	answerJSON(w, r, c, err)
}

// parseChallengeRequest reads a challenge request strictly: three strings under their exact names.
func parseChallengeRequest(body []byte) (exchange.ChallengeRequest, error) {
	var c exchange.ChallengeRequest
	m, err := ijson.ParseObject(body, ijson.Limits{MaxBytes: maxChallengeRequest, MaxDepth: 2, MaxValues: 8})
	if err != nil {
		return c, err
	}
	fields := map[string]*string{"sender": &c.Sender, "action": &c.Action, "exchange": &c.Exchange}
	for k, v := range m {
		field, known := fields[k]
		text, ok := v.(string)
		if !known {
			return c, errors.New("a property has an unknown name; sender, action and exchange are known")
		}
		if !ok {
			return c, fmt.Errorf("%s must be a string", k)
		}
		*field = text
	}
	if c.Sender == "" || c.Action == "" {
		return c, errors.New("sender and action are needed")
	}
	return c, nil
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) {
	if _, err := mediaType(r, "application/vp", "application/json"); err != nil {
		fail(w, r, err)
		return
	}
	body, err := readBody(r, exchange.MaxPresentation)
	if err != nil {
		fail(w, r, err)
		return
	}
	if _, err := ijson.ParseObject(body, ijson.Limits{MaxBytes: exchange.MaxPresentation}); err != nil {
		fail(w, r, newProblem(exchange.CodeInvalid, "the body is no presentation: "+err.Error()))
		return
	}
	reply, err := s.node.Message(r.Context(), body)
	answerJSON(w, r, reply, err)
}

func (s *Server) progress(w http.ResponseWriter, r *http.Request) {
	token, err := bearer(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	p, err := s.node.Progress(r.Context(), token, mux.Vars(r)["id"])
	answerJSON(w, r, p, err)
}

func (s *Server) putChunk(w http.ResponseWriter, r *http.Request) {
	token, index, err := chunkRequest(r)
	if err == nil {
		_, err = mediaType(r, "application/octet-stream")
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	give, err := s.chunkPlace(r, token)
	if err != nil {
		fail(w, r, err)
		return
	}
	defer give()
	body, err := readBody(r, exchange.MaxChunk)
	if err != nil {
		fail(w, r, err)
		return
	}
	vars := mux.Vars(r)
	if err := s.node.PutChunk(r.Context(), token, vars["id"], vars["set"], index, body); err != nil {
		fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getChunk(w http.ResponseWriter, r *http.Request) {
	token, index, err := chunkRequest(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	give, err := s.chunkPlace(r, token)
	if err != nil {
		fail(w, r, err)
		return
	}
	defer give()
	vars := mux.Vars(r)
	body, err := s.node.GetChunk(r.Context(), token, vars["id"], vars["set"], index)
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, "application/octet-stream", body)
}

// chunkPlace takes one of the few places for chunks, which hold up to 1 MiB each and may come slowly: strangers get none, and one peer a quarter of them.
func (s *Server) chunkPlace(r *http.Request, token string) (give func(), err error) {
	did, proven := r.Context().Value(provenKey{}).(string)
	if !proven {
		if did, err = s.node.TokenPeer(r.Context(), token, mux.Vars(r)["id"]); err != nil {
			return nil, err
		}
	}
	if !s.chunks.take() {
		return nil, busy()
	}
	own, wait := s.chunkers.take("peer " + did)
	if own == nil {
		s.chunks.give()
		return nil, tooMany(wait)
	}
	return func() {
		s.chunks.give()
		own()
	}, nil
}

func chunkRequest(r *http.Request) (token string, index uint32, err error) {
	if token, err = bearer(r); err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(mux.Vars(r)["index"], 10, 64)
	if err != nil || n > math.MaxUint32 {
		return "", 0, newProblem(exchange.CodeNotFound, "there is no chunk of that number")
	}
	return token, uint32(n), nil
}

// bearer gives the token of the Authorization header (RFC 6750 section 2.1; nowhere else).
func bearer(r *http.Request) (string, error) {
	if token, ok := bearerOf(r, 512); ok {
		return token, nil
	}
	return "", newProblem(exchange.CodeToken, "send one Authorization header: Bearer and the token")
}

func bearerOf(r *http.Request, max int) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= max && !strings.ContainsFunc(token, notTokenChar)
}

// notTokenChar reports what cannot stand in a b64token (RFC 6750 section 2.1).
func notTokenChar(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune("-._~+/=", c)
}

func answer(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

func answerJSON(w http.ResponseWriter, r *http.Request, v any, err error) {
	var body []byte
	if err == nil {
		body, err = json.Marshal(v)
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, "application/json", append(body, '\n'))
}

// acceptable gives the offer that an Accept header prefers (RFC 9110 section 12.5.1), the first of
// them where it prefers none, "" where it accepts none. Only the media ranges count, not their
// parameters besides q.
func acceptable(accept []string, offers []string) string {
	type wish struct {
		media string
		q     float64
	}
	var wishes []wish
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, _ := strings.Cut(part, ";")
		w := wish{strings.ToLower(strings.TrimSpace(media)), 1}
		for param := range strings.SplitSeq(params, ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(param), "="); ok && strings.EqualFold(k, "q") {
				q, err := strconv.ParseFloat(v, 64)
				if err != nil || math.IsNaN(q) {
					q = 0
				}
				w.q = q
			}
		}
		if w.media != "" {
			wishes = append(wishes, w)
		}
	}
	if len(wishes) == 0 {
		return offers[0]
	}
	best, bestQ := "", 0.0
	for _, offer := range offers {
		major, _, _ := strings.Cut(offer, "/")
		// The most specific range that names the offer decides.
		for _, media := range []string{offer, major + "/*", "*/*"} {
			i := slices.IndexFunc(wishes, func(w wish) bool { return w.media == media })
			if i < 0 {
				continue
			}
			if wishes[i].q > bestQ {
				best, bestQ = offer, wishes[i].q
			}
			break
		}
	}
	return best
}
