package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/did"
	"ihyid/exchange"
	"ihyid/kms"
)

type rotateKeyInput struct {
	Body struct {
		Purpose string `json:"purpose" enum:"assertion,authentication,agreement" doc:"Of the key to replace: assertion signs what lasts (receipts, credentials), authentication what is said to other nodes, to agreement files for this node are sealed."`
		Curve   string `json:"curve,omitempty" enum:"P-256,P-384" doc:"Of the new signing key. Left out: as before."`
		Overlap string `json:"overlap,omitempty" maxLength:"20" doc:"How long the replaced key stays good, as in 48h. 0s revokes it at once: what was begun under it fails. Left out: 48h." example:"48h"`
	}
}

type keyInput struct {
	ID string `path:"id" doc:"The key's id, or the fragment of its verification method." maxLength:"128" example:"key-1"`
}

// KeyPurposes are the words of the API and of the command line for the purposes of keys.
var KeyPurposes = map[string]kms.Purpose{"assertion": kms.AssertionMethod, "authentication": kms.Authentication, "agreement": did.KeyAgreement}

func (s *Server) operateKeys(h huma.API) {
	const tag = "Keys"
	operate(h, get("keys-list", "/keys", tag, "List the node's keys"),
		func(ctx context.Context, _ *empty) (*body[List[exchange.Key]], error) {
			keys, err := s.node.Keys(ctx)
			return asList(keys, "", err)
		})
	op := post("keys-rotate", "/keys/rotate", tag, "Replace a key")
	op.Description = "Makes a new key and publishes it in the DID document. The change is signed with the key in use before, so that peers accept it."
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *rotateKeyInput) (*body[exchange.Key], error) {
		o := exchange.RotateOptions{Curve: kms.Curve(in.Body.Curve), Overlap: exchange.DefaultOverlap}
		if text := in.Body.Overlap; text != "" {
			var err error
			if o.Overlap, err = time.ParseDuration(text); err != nil {
				return nil, newProblem(codeValidation, "body.overlap: is no length of time such as 48h")
			}
		}
		return asBody(s.node.RotateKey(ctx, KeyPurposes[in.Body.Purpose], o))
	})
	operate(h, post("keys-retire", "/keys/{id}/retire", tag, "Revoke a key that was replaced"),
		func(ctx context.Context, in *keyInput) (*body[exchange.Key], error) {
			return asBody(s.node.RetireKey(ctx, in.ID))
		})
	op = post("keys-rotate-data", "/keys/data/rotate", tag, "Replace the key that the store is encrypted with")
	op.Description = "A job seals every record anew while the node works on."
	op.DefaultStatus = http.StatusAccepted
	operate(h, op, func(ctx context.Context, _ *empty) (*body[Job], error) {
		j, err := s.node.RotateDataKey(ctx)
		return asBody(jobOf(j), err)
	})
	op = post("keys-rotate-wrapping", "/keys/wrapping/rotate", tag, "Replace the key of the key store that wraps the store's keys")
	op.DefaultStatus = http.StatusNoContent
	operate(h, op, func(ctx context.Context, _ *empty) (*struct{}, error) {
		return &struct{}{}, s.node.RotateWrappingKey(ctx)
	})
}
