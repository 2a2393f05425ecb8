package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/api/policy"
	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

// caller is who asks, as it is kept with what is done.
func caller(ctx context.Context) string {
	if c, ok := policy.CallerOf(ctx); ok && c.Account != "" && c.Account != policy.SocketAccount {
		return c.Account
	}
	return "local"
}

// Kept is a contact after a change, with the contacts that it may be a duplicate of.
type Kept struct {
	Contact            register.Stored          `json:"contact"`
	PossibleDuplicates []register.DuplicatePair `json:"possible_duplicates" nullable:"false"`
}

// ETag is the contact's.
func (k Kept) ETag() string { return k.Contact.ETag() }

func kept(s register.Stored, pairs []register.DuplicatePair, err error) (*tagged[Kept], error) {
	if pairs == nil {
		pairs = []register.DuplicatePair{}
	}
	return asTagged(Kept{s, pairs}, err)
}

// contactVersion gives the version in which a contact must still be, 0 for any.
func (s *Server) contactVersion(ctx context.Context, number uint64, m IfMatch) (uint64, error) {
	list, err := m.versions()
	switch {
	case err != nil || len(list) == 0:
		return 0, err
	case len(list) == 1 && list[0] != 0:
		return list[0], nil
	}
	now, err := s.register.Get(ctx, number)
	if err == nil && !slices.Contains(list, now.Version) {
		err = fmt.Errorf("contact %d: %w", number, register.ErrVersion)
	}
	return now.Version, err
}

type byNumber struct {
	Number uint64 `path:"number" doc:"The contact's number."`
}

// Erasing asks for contacts to be erased.
type Erasing struct {
	Contacts   []uint64 `json:"contacts" nullable:"false" minItems:"1" maxItems:"200" doc:"Numbers of the contacts."`
	RollEpochs bool     `json:"roll_epochs,omitempty" doc:"End all epochs with peers, so that nothing computed of the contacts stays for later exchanges; the next ones send all again."`
}

// RetentionRule sets the rule of age.
type RetentionRule struct {
	Days  int    `json:"days" minimum:"0" maximum:"36500" doc:"Contacts older than so many days are erased; 0 ends the rule."`
	Since string `json:"since,omitempty" enum:"created,updated" doc:"What their age is counted from. Left out: created."`
}

// Due is how many contacts a rule would erase now.
type Due struct {
	Due uint64 `json:"due"`
}

// operateRegister are the operations on single contacts, and on what is kept for how long.
func (s *Server) operateRegister(h huma.API) {
	const tag = "Contacts"
	op := post("contacts-create", "/contacts", tag, "Register a contact")
	op.DefaultStatus = http.StatusCreated
	operate(h, op, func(ctx context.Context, in *struct{ Body contacts.Contact }) (*tagged[Kept], error) {
		return kept(s.register.Create(ctx, in.Body, caller(ctx)))
	})
	op = post("contacts-update", "/contacts/{number}", tag, "Change fields of a contact")
	op.Method = http.MethodPatch
	op.Description = "Only the fields that are given change; an empty text empties a field. With If-Match the contact must still be as it was read."
	operate(h, op, func(ctx context.Context, in *struct {
		Number uint64 `path:"number" doc:"The contact's number."`
		IfMatch
		Body map[string]string `maxProperties:"11"`
	}) (*tagged[Kept], error) {
		version, err := s.contactVersion(ctx, in.Number, in.IfMatch)
		if err != nil {
			return nil, err
		}
		p := register.Patch{}
		for name, v := range in.Body {
			f, ok := contacts.ParseField(name)
			if !ok {
				return nil, newProblem(exchange.CodeInvalid, "a field is named that no contact has")
			}
			p[f] = v
		}
		return kept(s.register.Update(ctx, in.Number, version, p, caller(ctx)))
	})
	op = post("contacts-delete", "/contacts/{number}", tag, "Delete a contact")
	op.Method, op.DefaultStatus = http.MethodDelete, http.StatusNoContent
	op.Description = "With If-Match the contact must still be as it was read."
	operate(h, op, func(ctx context.Context, in *struct {
		Number uint64 `path:"number" doc:"The contact's number."`
		IfMatch
	}) (*empty, error) {
		version, err := s.contactVersion(ctx, in.Number, in.IfMatch)
		if err != nil {
			return nil, err
		}
		return nil, s.register.DeleteVersion(ctx, caller(ctx), in.Number, version)
	})
	op = post("contacts-erase", "/contacts/erase", tag, "Erase contacts for good")
	op.Description = "When it is answered, nothing of the contacts is in the node's files any more. Exported lists, snapshots made before and other organisations' lists are not touched."
	operate(h, op, func(ctx context.Context, in *struct{ Body Erasing }) (*body[exchange.Erasure], error) {
		return asBody(s.node.EraseContacts(ctx, caller(ctx), in.Body.RollEpochs, in.Body.Contacts...))
	})
	operate(h, post("contacts-find", "/contacts/find", tag, "Find the contact with an external id"), func(ctx context.Context, in *struct {
		Body struct {
			ExternalID string `json:"external_id" minLength:"1" maxLength:"400"`
		}
	}) (*tagged[register.Stored], error) {
		id, err := s.register.Find(ctx, in.Body.ExternalID)
		if err != nil {
			return nil, err
		}
		return asTagged(s.register.Get(ctx, id))
	})
	operate(h, get("contacts-subject-report", "/contacts/{number}/subject-report", tag, "Tell all that is held on one person"),
		func(ctx context.Context, in *byNumber) (*body[exchange.SubjectReport], error) {
			return asBody(s.node.SubjectReport(ctx, in.Number))
		})

	operate(h, get("contacts-retention", "/contacts/retention", tag, "Show the rule by which old contacts are erased"),
		func(ctx context.Context, _ *empty) (*tagged[register.Retention], error) {
			return asTagged(s.register.Retention(ctx))
		})
	op = post("contacts-retention-set", "/contacts/retention", tag, "Set the rule by which old contacts are erased")
	op.Method = http.MethodPut
	op.Description = "It is applied every day, for the first time a day after it is set."
	operate(h, op, func(ctx context.Context, in *struct {
		IfMatch
		Body RetentionRule
	}) (*tagged[register.Retention], error) {
		return under(in.IfMatch, func(versions ...uint64) (register.Retention, error) {
			return s.register.SetRetention(ctx, in.Body.Days, in.Body.Since, caller(ctx), versions...)
		})
	})
	operate(h, post("contacts-retention-preview", "/contacts/retention/preview", tag, "Count what a rule would erase now"),
		func(ctx context.Context, in *struct{ Body RetentionRule }) (*body[Due], error) {
			n, err := s.register.CountDue(ctx, in.Body.Days, in.Body.Since)
			return asBody(Due{n}, err)
		})
	op = post("contacts-retention-run", "/contacts/retention/run", tag, "Apply the rule now")
	op.DefaultStatus = http.StatusAccepted
	operate(h, op, func(ctx context.Context, _ *empty) (*body[Job], error) { return asJob(s.register.ApplyRetention(ctx)) })

	operate(h, get("contacts-mappings", "/contacts/mappings", tag, "List the remembered ways to read lists"),
		func(ctx context.Context, _ *empty) (*body[List[register.Mapping]], error) {
			all, err := s.register.Mappings(ctx)
			return asList(all, "", err)
		})
	operate(h, post("contacts-mappings-save", "/contacts/mappings", tag, "Remember how the lists of one source are read"),
		func(ctx context.Context, in *struct{ Body register.Mapping }) (*body[register.Mapping], error) {
			return asBody(s.register.SaveMapping(ctx, in.Body, caller(ctx)))
		})
	op = post("contacts-mappings-delete", "/contacts/mappings/delete", tag, "Forget a way to read lists")
	op.DefaultStatus = http.StatusNoContent
	operate(h, op, func(ctx context.Context, in *struct {
		Body struct {
			Name string `json:"name" minLength:"1" maxLength:"400"`
		}
	}) (*empty, error) {
		return nil, s.register.DeleteMapping(ctx, in.Body.Name)
	})
}
