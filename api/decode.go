package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"ihyid/credentials/ijson"
	"ihyid/exchange"
)

// jsonLimits bounds every JSON body. The bytes are bounded where the body is read.
var jsonLimits = ijson.Limits{MaxBytes: 64 << 20, MaxDepth: 32, MaxValues: 500_000}

// decodeJSON reads data into v. The same key twice, bytes that are not UTF-8, deep nesting and anything
// after the document are errors. No error holds text of the input. It is the decoder of huma, which
// has every body parsed into an any first, holds that against the schema (which knows the exact
// names, and refuses others), and only then has it parsed into its struct.
func decodeJSON(data []byte, v any) error {
	parsed, err := ijson.Parse(data, jsonLimits)
	if err != nil {
		return err
	}
	if p, ok := v.(*any); ok {
		*p = parsed
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errors.New("the document does not have the expected form") // err names values
	}
	return nil
}

// mediaType refuses a request whose body is not of one of the given types, is compressed, or is
// text in another encoding than UTF-8. It gives the media type.
func mediaType(r *http.Request, accepted ...string) (string, error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return "", newProblem(codeMediaType, "send the body uncompressed, without Content-Encoding")
	}
	wanted := strings.Join(accepted, " or ")
	if len(r.Header.Values("Content-Type")) != 1 {
		return "", newProblem(codeMediaType, "send one Content-Type header: "+wanted)
	}
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", newProblem(codeMediaType, "the Content-Type header cannot be understood; send "+wanted)
	}
	if c, ok := params["charset"]; ok && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "us-ascii") {
		return "", newProblem(codeMediaType, "send the body in UTF-8")
	}
	for _, a := range accepted {
		if got == a {
			return got, nil
		}
	}
	return "", newProblem(codeMediaType, "send "+wanted)
}

// readBody reads a whole body of at most max bytes. Its errors are problems.
func readBody(r *http.Request, max int64) ([]byte, error) {
	tooLarge := func() error {
		return newProblem(exchange.CodeTooLarge, fmt.Sprintf("the body may have at most %d bytes", max))
	}
	if r.ContentLength > max {
		return nil, tooLarge()
	}
	var body []byte
	var err error
	if n := r.ContentLength; n >= 0 {
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, max+1))
		if err == nil && int64(len(body)) > max {
			return nil, tooLarge()
		}
	}
	if err != nil {
		return nil, bodyProblem(err)
	}
	return body, nil
}

// bodyProblem says why a body could not be read to its end.
func bodyProblem(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case isTimeout(err):
		return newProblem(codeTimeout, "the body arrived too slowly; nothing was changed")
	}
	return newProblem(exchange.CodeInvalid, "the body ended before all of it had arrived; nothing was changed")
}
