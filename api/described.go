package api

import (
	"github.com/danielgtaylor/huma/v2"

	"ihyid/api/replay"
)

// bearerScheme is the name of the one way to show over the network who one is.
const bearerScheme = "bearer"

// idempotencyParameter describes the header that once looks at: it does so before huma does, so that huma knows nothing of it.
func idempotencyParameter() *huma.Param {
	shortest, longest := 1, replay.MaxKey
	return &huma.Param{
		Name: IdempotencyHeader, In: "header", Example: "5f0c7a9e-0d53-4f0e-9d0b-6c1e2a7b9f10",
		Description: "A key that the caller makes up: the same request with the same key, within 24 hours, gets the same answer, and nothing is created twice.",
		Schema:      &huma.Schema{Type: huma.TypeString, MinLength: &shortest, MaxLength: &longest},
	}
}

// describeSecurity writes into the description what the policy table says: which operations are for everybody, and that all
// others need a token; which scope an API token needs, and which roles may, so that a program need not try.
func (s *Server) describeSecurity(o *huma.OpenAPI) {
	o.Components.SecuritySchemes = map[string]*huma.SecurityScheme{bearerScheme: {
		Type: "http", Scheme: "bearer",
		Description: "The access_token that POST /auth/login gives, or an API token. At the node's socket none is needed.",
	}}
	for _, path := range o.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Put, path.Post, path.Delete, path.Patch} {
			if op == nil {
				continue
			}
			if s.replay != nil && idempotent[op.OperationID] {
				op.Parameters = append(op.Parameters, idempotencyParameter())
			}
			row, _ := s.policy.Row(op.OperationID)
			if row.Open {
				op.Security = []map[string][]string{}
				continue
			}
			op.Security = []map[string][]string{{bearerScheme: {}}}
			op.Extensions = map[string]any{"x-roles": row.Roles}
			if row.Scope != "" {
				op.Extensions["x-scope"] = row.Scope
			}
		}
	}
}
