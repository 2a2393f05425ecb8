package api_test

import (
	"context"

	"ihyid/contacts"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/store"
	"ihyid/store/jobs"
)

// quietRegister answers with nothing: exchange/register has the tests of what it stands for.
type quietRegister struct{}

func (quietRegister) Create(context.Context, contacts.Contact, string) (s register.Stored, p []register.DuplicatePair, err error) {
	return
}
func (q quietRegister) CreateIf(ctx context.Context, c contacts.Contact, by string, may func(*store.Tx) error) (s register.Stored, p []register.DuplicatePair, err error) {
	if err := may(nil); err != nil {
		return s, p, err
	}
	return q.Create(ctx, c, by)
}
func (quietRegister) Update(context.Context, uint64, uint64, register.Patch, string) (s register.Stored, p []register.DuplicatePair, err error) {
	return
}
func (quietRegister) DeleteVersion(context.Context, string, uint64, uint64) error { return nil }
func (quietRegister) Find(context.Context, string) (uint64, error)                { return 1, nil }
func (quietRegister) StartFind(context.Context) (j jobs.Job, err error)           { return }
func (quietRegister) ApplyRetention(context.Context) (j jobs.Job, err error)      { return }
func (quietRegister) Decide(context.Context, string, register.Verdict, string) (d register.Decision, err error) {
	return
}
func (quietRegister) Decisions(context.Context, string, int) (d []register.Decision, err error) {
	return
}
func (quietRegister) Merge(context.Context, string, map[contacts.Field]uint64, string) (s register.Stored, err error) {
	return
}
func (quietRegister) Undo(context.Context, uint64, bool, string) (s []register.Stored, err error) {
	return
}
func (quietRegister) Retention(context.Context) (r register.Retention, err error) { return }
func (quietRegister) SetRetention(context.Context, int, string, string, ...uint64) (r register.Retention, err error) {
	return
}
func (quietRegister) CountDue(context.Context, int, string) (n uint64, err error) { return }
func (quietRegister) SaveMapping(_ context.Context, m register.Mapping, _ string) (register.Mapping, error) {
	return m, nil
}
func (quietRegister) Mappings(context.Context) (m []register.Mapping, err error) { return }
func (quietRegister) DeleteMapping(context.Context, string) error                { return nil }

// quietSubjects is the same for what the node tells of a person.
type quietSubjects struct{}

func (quietSubjects) SubjectReport(context.Context, uint64) (r exchange.SubjectReport, err error) {
	return
}
func (quietSubjects) EraseContacts(context.Context, string, bool, ...uint64) (e exchange.Erasure, err error) {
	return
}
