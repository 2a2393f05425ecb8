package api

import (
	"github.com/danielgtaylor/huma/v2"
)

// bearerScheme is the name of the one way to show over the network who one is.
const bearerScheme = "bearer"

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
