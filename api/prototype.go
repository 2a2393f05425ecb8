package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/store"
)

// The paths and shapes of the prototype, for programs that call them already. docs/api.md says what they answer.

// PrototypeContact is a contact as the prototype knew it: five fields, all needed.
type PrototypeContact struct {
	ID              uint64 `json:"id,omitempty" readOnly:"true"`
	FirstName       string `json:"first_name" minLength:"1" maxLength:"400"`
	LastName        string `json:"last_name" minLength:"1" maxLength:"400"`
	MotherFirstName string `json:"mother_first_name" minLength:"1" maxLength:"400"`
	FatherFirstName string `json:"father_first_name" minLength:"1" maxLength:"400"`
	DateOfBirth     string `json:"date_of_birth" minLength:"10" maxLength:"10" doc:"YYYY-MM-DD." example:"1976-05-07"`
	PhoneticID      string `json:"phonetic_id,omitempty" readOnly:"true"`
}

// PrototypeAnswer is what became of one contact.
type PrototypeAnswer struct {
	Contact            PrototypeContact   `json:"contact"`
	Created            bool               `json:"created"`
	Message            string             `json:"message"`
	PossibleDuplicates []PrototypeContact `json:"possible_duplicates" nullable:"false"`
}

// PrototypeImport is what became of several.
type PrototypeImport struct {
	Created    int               `json:"created"`
	Duplicates int               `json:"duplicates"`
	Contacts   []PrototypeAnswer `json:"contacts" nullable:"false" doc:"In the order in which they were sent."`
}

// OrganisationView is an organisation: the node's own, or a peer's.
type OrganisationView struct {
	exchange.Organisation
	DID   string `json:"did"`
	State string `json:"state,omitempty" doc:"Of a peer."`
}

func prototypeContact(s register.Stored) PrototypeContact {
	return PrototypeContact{s.ID, s.FirstName, s.LastName, s.MotherFirstName, s.FatherFirstName, s.DateOfBirth, s.PhoneticID}
}

// maxPrototypeImport bounds an import that is answered at once; longer lists go to /contacts/import.
const maxPrototypeImport = 1000

// maxNamedDuplicates bounds how many possible duplicates are named for one contact.
const maxNamedDuplicates = 20

var errThere = errors.New("a contact with the same phonetic id is there already; look whether it is the same person")

type prototypeAnswer[T any] struct {
	Status int
	Body   T
}

// createPrototype registers a contact as the prototype did: one whose phonetic id is there already is refused, and who is there is named.
func (s *Server) createPrototype(ctx context.Context, in PrototypeContact) (PrototypeAnswer, error) {
	c := contacts.Contact{FirstName: in.FirstName, LastName: in.LastName, MotherFirstName: in.MotherFirstName, FatherFirstName: in.FatherFirstName, DateOfBirth: in.DateOfBirth}
	c.Clean()
	out := PrototypeAnswer{Contact: in, PossibleDuplicates: []PrototypeContact{}}
	id, ok := contacts.PhoneticID(&c)
	if !ok {
		return out, newProblem(codeValidation, "the contact has no phonetic id: every name needs a letter, and the date of birth is YYYY-MM-DD")
	}
	out.Contact.ID, out.Contact.PhoneticID = 0, id
	// Looked for in the transaction that keeps the contact: of two who register the same person at once, one is refused.
	stored, _, err := s.register.CreateIf(ctx, c, caller(ctx), func(tx *store.Tx) error {
		for after := uint64(0); ; {
			page, err := s.search.SearchTx(tx, search.Query{PhoneticID: id}, after, maxNamedDuplicates)
			if err != nil {
				return err
			}
			for _, d := range page.Contacts {
				out.PossibleDuplicates = append(out.PossibleDuplicates, prototypeContact(d))
			}
			if len(page.Contacts) > 0 {
				return errThere
			}
			if after = page.Next; after == 0 {
				return nil
			}
		}
	})
	var exists *register.ExistsError
	switch {
	case errors.Is(err, errThere):
		out.Message = errThere.Error()
		return out, nil
	case errors.As(err, &exists):
		out.Message = exists.Error()
		return out, nil
	case err != nil:
		return out, err
	}
	out.Contact, out.Created, out.Message = prototypeContact(stored), true, "created"
	return out, nil
}

// ownPlace is the place after the node's own organisation, which stands before all peers; no DID begins so.
const ownPlace = "="

// organisations gives a part of the list of organisations: the node's own, then the peers' by their DIDs.
func (s *Server) organisations(ctx context.Context, in Page) (*body[List[OrganisationView]], error) {
	c := cursorsOf("organisations-list")
	q, err := c.query(in, "", "", "")
	if err != nil {
		return nil, err
	}
	var list []OrganisationView
	if q.After == nil {
		list = append(list, OrganisationView{Organisation: s.node.Organisation(), DID: s.node.DID()})
		if q.Limit--; q.Limit == 0 {
			return asList(list, c.next([]byte(ownPlace)), nil)
		}
	} else if string(q.After) == ownPlace {
		q.After = nil
	}
	page, err := s.node.ListPeers(ctx, q)
	for _, p := range page.Items {
		list = append(list, OrganisationView{Organisation: p.Organisation, DID: p.DID, State: string(p.State)})
	}
	return asList(list, c.next(page.Next), err)
}

func (s *Server) operatePrototype(h huma.API) {
	const tag = "Prototype"
	operate(h, get("prototype-contacts", "/contact/", tag, "List contacts (GET /contacts)"),
		func(ctx context.Context, in *contactsInput) (*body[[]PrototypeContact], error) {
			list, err := s.register.List(ctx, in.After, in.Limit)
			out := make([]PrototypeContact, len(list))
			for i := range list {
				out[i] = prototypeContact(list[i])
			}
			return asBody(out, err)
		})
	operate(h, get("prototype-contact", "/contact/{number}", tag, "Show a contact (GET /contacts/{number})"),
		func(ctx context.Context, in *struct {
			Number uint64 `path:"number" doc:"The contact's number."`
		}) (*body[PrototypeContact], error) {
			c, err := s.register.Get(ctx, in.Number)
			return asBody(prototypeContact(c), err)
		})
	op := post("prototype-check", "/contact/checkanons", tag, "Say which anonymous contacts are known here (POST /rpc/check-anonymous)")
	op.MaxBodyBytes = maxAnonymousBody
	operate(h, op, func(ctx context.Context, in *anonymousInput) (*body[[]Known], error) {
		known, err := s.register.CheckAnonymous(ctx, in.Body.Uscadis, in.Body.Secrets)
		if err != nil {
			return nil, err
		}
		answers := make([]Known, len(known))
		for i, k := range known {
			answers[i] = Known{in.Body.Uscadis[i], strconv.FormatBool(k)}
		}
		return &body[[]Known]{answers}, nil
	})
	owner := func(context.Context, *empty) (*body[OrganisationView], error) {
		return &body[OrganisationView]{OrganisationView{Organisation: s.node.Organisation(), DID: s.node.DID()}}, nil
	}
	all := func(ctx context.Context) ([]OrganisationView, error) {
		peers, err := s.node.Peers(ctx)
		out := []OrganisationView{{Organisation: s.node.Organisation(), DID: s.node.DID()}}
		for _, p := range peers {
			out = append(out, OrganisationView{Organisation: p.Organisation, DID: p.DID, State: string(p.State)})
		}
		return out, err
	}
	operate(h, get("organisations-list", "/organisations", "Organisations", "List the organisations that this node knows, its own first"),
		func(ctx context.Context, in *struct{ Page }) (*body[List[OrganisationView]], error) {
			return s.organisations(ctx, in.Page)
		})
	operate(h, get("organisations-owner", "/organisations/node-owner", "Organisations", "Show the organisation of this node"), owner)
	operate(h, get("prototype-organisations", "/organisation/", tag, "List organisations (GET /organisations)"),
		func(ctx context.Context, _ *empty) (*body[[]OrganisationView], error) { return asBody(all(ctx)) })
	operate(h, get("prototype-owner", "/organisation/node-owner", tag, "Show the organisation of this node (GET /organisations/node-owner)"), owner)

	if s.search == nil {
		return // who is there already is found by searching
	}
	op = post("prototype-create", "/contact/", tag, "Register a contact, unless its phonetic id is there (POST /contacts)")
	op.DefaultStatus = http.StatusCreated
	op.Description = "409 with the same form of answer, created false and possible_duplicates filled, where a contact has the same phonetic id."
	operate(h, op, func(ctx context.Context, in *struct{ Body PrototypeContact }) (*prototypeAnswer[PrototypeAnswer], error) {
		a, err := s.createPrototype(ctx, in.Body)
		status := http.StatusCreated
		if !a.Created {
			status = http.StatusConflict
		}
		return &prototypeAnswer[PrototypeAnswer]{status, a}, err
	})
	op = post("prototype-import", "/contact/import", tag, "Register up to 1,000 contacts at once (POST /contacts/import)")
	op.DefaultStatus, op.MaxBodyBytes = http.StatusCreated, 1<<20
	op.Description = "Contacts whose phonetic id is there are left out, and who is there is named. If one cannot be kept the answer is a problem; those before it are kept."
	operate(h, op, func(ctx context.Context, in *struct {
		Body []PrototypeContact `nullable:"false" minItems:"1" maxItems:"1000"`
	}) (*prototypeAnswer[PrototypeImport], error) {
		out := PrototypeImport{Contacts: make([]PrototypeAnswer, 0, min(len(in.Body), maxPrototypeImport))}
		for _, c := range in.Body {
			a, err := s.createPrototype(ctx, c)
			if err != nil {
				return nil, err
			}
			if a.Created {
				out.Created++
			} else {
				out.Duplicates++
			}
			out.Contacts = append(out.Contacts, a)
		}
		return &prototypeAnswer[PrototypeImport]{http.StatusCreated, out}, nil
	})
}
