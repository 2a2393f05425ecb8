package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"ihyid/contacts/list"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

type importInput struct {
	Comma     string   `query:"comma" maxLength:"3" doc:"What separates columns: a comma, a semicolon, or the word tab. Left out: found from the header."`
	DateOrder string   `query:"date_order" enum:"dmy,mdy" doc:"How dates such as 03/04/1990 are to be read. Left out: they are rejected as ambiguous."`
	Sheet     string   `query:"sheet" maxLength:"100" doc:"Of a workbook. Left out: the first."`
	Map       []string `query:"map,explode" maxItems:"100" doc:"A field and the column that holds it, such as first_name=Prénom; -=Column leaves a column out." nullable:"false"`
	Mapping   string   `query:"mapping" maxLength:"400" doc:"Name of a mapping that was saved."`
	Update    bool     `query:"update" doc:"A row with the external id of a contact changes that contact. Left out: it is rejected."`
	Empty     string   `query:"empty" enum:"keep,clear" doc:"What an empty cell does in an update. Left out: keep."`
	DryRun    bool     `query:"dry_run" doc:"Say what would become of the rows, and change nothing."`

	request *http.Request
}

// contactTypes are the media types of a contact list.
var contactTypes = []string{"text/csv", "text/tab-separated-values", "text/plain", "application/octet-stream",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/jsonl", "application/x-ndjson"}

// exportFormats are the forms in which contacts go out.
var exportFormats = map[list.Format]struct{ mediaType, name string }{
	list.CSV:   {"text/csv; charset=utf-8", "contacts.csv"},
	list.XLSX:  {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "contacts.xlsx"},
	list.JSONL: {"application/jsonl", "contacts.jsonl"},
}

// Resolve takes the request itself, so that its body can be streamed: a body that huma knows of is
// read whole before the handler runs.
func (in *importInput) Resolve(ctx huma.Context) []error {
	r, _ := humamux.Unwrap(ctx)
	if _, err := mediaType(r, contactTypes...); err != nil {
		return []error{err}
	}
	if r.ContentLength > register.MaxUpload {
		return []error{newProblem(exchange.CodeTooLarge, register.ErrTooLarge.Error())}
	}
	in.request = r
	return nil
}

// upload is a streamed body that keeps its own error: what consumed it may have wrapped that beyond
// recognition, and a caller who left is no failure of the node.
type upload struct {
	io.Reader
	err error
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

type reportInput struct {
	Job   string `path:"id" doc:"The import's job."`
	From  int    `query:"from" minimum:"0" doc:"Number of the first row of the report."`
	Limit int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

type contactsInput struct {
	After uint64 `query:"after" doc:"Number of the last contact seen."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type duplicatesInput struct {
	After string `query:"after" maxLength:"256" doc:"What next said."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type anonymousInput struct {
	Body struct {
		Uscadis []string `json:"uscadis" nullable:"false" maxItems:"20000" doc:"The uscadis to look for, hex, in any order."`
		Secrets []string `json:"secrets" nullable:"false" maxItems:"20000" doc:"The noises they were made with, in any order."`
	}
}

// Known is the answer for one uscadi, in the prototype's form.
type Known struct {
	Uscadi string `json:"uscadi"`
	Known  string `json:"known" enum:"true,false"`
}

func (s *Server) operateContacts(h huma.API) {
	const tag = "Contacts"

	op := post("contacts-import", "/contacts/import", tag, "Import a contact list")
	op.Description = "The body is the list itself (CSV with a header, an XLSX workbook, or JSON Lines; UTF-8), streamed. The answer names the job that imports it."
	op.DefaultStatus = http.StatusAccepted
	operate(h, op, func(ctx context.Context, in *importInput) (*body[Job], error) {
		if !s.imports.take() {
			return nil, busy()
		}
		defer s.imports.give()
		o := ImportOptions{Comma: in.Comma, DateOrder: in.DateOrder, Sheet: in.Sheet, Mapping: in.Mapping, Update: in.Update, Empty: in.Empty, DryRun: in.DryRun}
		for _, m := range in.Map {
			field, column, ok := strings.Cut(m, "=")
			if !ok {
				return nil, newProblem(exchange.CodeInvalid, "map: a field, = and the column that holds it")
			}
			if o.Map == nil {
				o.Map = map[string]string{}
			}
			if _, twice := o.Map[column]; twice {
				return nil, newProblem(exchange.CodeInvalid, "map: one column is given to two fields")
			}
			o.Map[column] = field
		}
		if strings.EqualFold(o.Comma, "tab") {
			o.Comma = "\t"
		}
		u := &upload{Reader: in.request.Body}
		job, err := s.register.StartImport(ctx, u, o, caller(ctx))
		if err != nil && u.err != nil {
			err = bodyProblem(u.err)
		}
		return asBody(jobOf(job), err)
	})
	// Said after Register only: huma reads a body that it knows of into memory.
	content := map[string]*huma.MediaType{}
	for _, t := range contactTypes {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	h.OpenAPI().Paths["/contacts/import"].Post.RequestBody = &huma.RequestBody{Required: true, Description: "The contact list.", Content: content}

	operate(h, get("contacts-import-report", "/contacts/import/{id}/report", tag, "Rows of an import that were not plainly created"),
		func(ctx context.Context, in *reportInput) (*body[List[register.Outcome]], error) {
			rows, next, err := s.register.ImportReport(ctx, in.Job, in.From, in.Limit)
			if next <= in.From {
				return asList(rows, "", err)
			}
			return asList(rows, strconv.Itoa(next), err)
		})

	operate(h, get("contacts-duplicates", "/contacts/duplicates", tag, "Pairs of contacts that may be one person"),
		func(ctx context.Context, in *duplicatesInput) (*body[List[register.DuplicatePair]], error) {
			pairs, err := s.register.Duplicates(ctx, in.After, in.Limit)
			next := ""
			if len(pairs) == in.Limit {
				next = pairs[len(pairs)-1].ID
			}
			return asList(pairs, next, err)
		})

	op = get("contacts-export", "/contacts/export", tag, "Export all contacts as CSV, XLSX or JSON Lines")
	op.Responses = streamed("text/csv", "All contacts.")
	for _, f := range exportFormats {
		op.Responses["200"].Content[f.mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	operate(h, op, func(ctx context.Context, in *struct {
		Format list.Format `query:"format" enum:"csv,xlsx,jsonl" default:"csv"`
	}) (*huma.StreamResponse, error) {
		f := exportFormats[in.Format]
		return s.download(f.mediaType, f.name, func(ctx context.Context, w io.Writer) error {
			return s.register.Export(ctx, w, in.Format)
		}), nil
	})

	operate(h, get("contacts-list", "/contacts", tag, "List contacts by number"),
		func(ctx context.Context, in *contactsInput) (*body[List[register.Stored]], error) {
			list, err := s.register.List(ctx, in.After, in.Limit)
			next := ""
			if len(list) == in.Limit {
				next = strconv.FormatUint(list[len(list)-1].ID, 10)
			}
			return asList(list, next, err)
		})

	operate(h, get("contacts-show", "/contacts/{number}", tag, "Show one contact"),
		func(ctx context.Context, in *struct {
			Number uint64 `path:"number" doc:"The contact's number."`
		}) (*tagged[register.Stored], error) {
			return asTagged(s.register.Get(ctx, in.Number))
		})

	op = post("check-anonymous", "/rpc/check-anonymous", tag, "Say which anonymous contacts are known here")
	op.Description = "The prototype's form: hex SHA-256 of the phonetic id followed by a noise, both lists in any order."
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
}
