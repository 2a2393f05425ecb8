package api

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"ihyid/exchange"
)

const fileType = "application/octet-stream"

// stepInput is the file of a step, streamed: see importInput.
type stepInput struct{ request *http.Request }

// Resolve takes the request itself, so that its body can be streamed.
func (in *stepInput) Resolve(ctx huma.Context) []error {
	r, _ := humamux.Unwrap(ctx)
	if _, err := mediaType(r, fileType); err != nil {
		return []error{err}
	}
	in.request = r
	return nil
}

// operateFiles are the steps of exchanges that are carried by hand.
func (s *Server) operateFiles(h huma.API) {
	const tag = "Exchanges"
	op := get("exchanges-export-step", "/exchanges/{id}/file", tag, "Export the file of an exchange that is to be carried to the peer")
	op.Description = "The last file that this node made of an exchange by file, sealed to the peer. It can be had again at any time, and says the same each time."
	op.Responses = streamed(fileType, "The sealed file.")
	operate(h, op, func(ctx context.Context, in *byID) (*huma.StreamResponse, error) {
		if _, err := s.node.Exchange(ctx, in.ID); err != nil {
			return nil, err
		}
		return s.download(fileType, "exchange.ihyid", func(ctx context.Context, w io.Writer) error {
			_, err := s.node.ExportStep(ctx, in.ID, w)
			return err
		}), nil
	})
	op = post("exchanges-import-step", "/exchanges/files", tag, "Import a file of an exchange that the peer exported")
	op.Description = "The body is the file, streamed. Nothing changes before all of it has been verified. The answer names the job that acts on it; the same file again changes nothing."
	op.DefaultStatus = http.StatusAccepted
	operate(h, op, func(ctx context.Context, in *stepInput) (*body[exchange.StepFile], error) {
		if !s.imports.take() {
			return nil, busy()
		}
		defer s.imports.give()
		u := &upload{Reader: in.request.Body}
		f, err := s.node.ImportStep(ctx, u)
		if err != nil && u.err != nil {
			err = bodyProblem(u.err)
		}
		return asBody(f, err)
	})
	// Said after Register only: huma reads a body that it knows of into memory.
	h.OpenAPI().Paths["/exchanges/files"].Post.RequestBody = &huma.RequestBody{
		Required: true, Description: "The file.", Content: map[string]*huma.MediaType{fileType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
}
