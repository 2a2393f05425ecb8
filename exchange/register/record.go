package register

import (
	"encoding/json"
	"strconv"
	"time"

	"ihyid/contacts"
)

// record is a contact as it is kept.
type record struct {
	contacts.Contact
	Version   uint64    `json:"version,omitempty"` // 0 is 1
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"`
	Updated   time.Time `json:"updated,omitzero"`
	UpdatedBy string    `json:"updated_by,omitempty"`
	Import    string    `json:"import,omitempty"` // job that created it
	Line      int       `json:"line,omitempty"`
	// LastImport is the job that last changed it.
	LastImport string `json:"last_import,omitempty"`
}

// Stored is a contact with its number.
type Stored struct {
	ID uint64 `json:"id"`
	contacts.Contact
	Version    uint64    `json:"version"`               // 1, and one more with every change
	PhoneticID string    `json:"phonetic_id,omitempty"` // of the original scheme, where all its parts are there
	Created    time.Time `json:"created"`
	CreatedBy  string    `json:"created_by,omitempty"`
	Updated    time.Time `json:"updated"`
	UpdatedBy  string    `json:"updated_by,omitempty"`
	Originals  []uint64  `json:"originals,omitempty"` // numbers of the contacts that it was merged of
}

// ETag is the entity tag of the contact's present content (RFC 9110, section 8.8.3).
func (s Stored) ETag() string { return `"` + strconv.FormatUint(s.Version, 10) + `"` }

func (r *record) stored(id uint64) Stored {
	s := Stored{
		ID: id, Version: max(r.Version, 1), Contact: r.Contact,
		Created: r.Created, CreatedBy: r.CreatedBy, Updated: r.Updated, UpdatedBy: r.UpdatedBy,
	}
	if s.Updated.IsZero() {
		s.Updated, s.UpdatedBy = s.Created, s.CreatedBy
	}
	if p, ok := contacts.PhoneticID(&r.Contact); ok {
		s.PhoneticID = p
	}
	return s
}

// changed is the record with another content.
func (r *record) changed(c contacts.Contact, now time.Time, by string) *record {
	next := *r
	next.Contact = c
	next.Version = max(r.Version, 1) + 1
	next.Updated, next.UpdatedBy = now, by
	return &next
}

// recordCodec writes records as JSON; the hot path of an import must not go through reflection.
type recordCodec struct{}

func (recordCodec) Append(dst []byte, r *record) ([]byte, error) {
	dst = append(dst, '{')
	for _, f := range contacts.Fields() {
		v := r.Value(f)
		if v == "" {
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, f.String()...)
		dst = append(dst, `":`...)
		dst = appendString(dst, v)
		dst = append(dst, ',')
	}
	if r.Version > 1 {
		dst = append(dst, `"version":`...)
		dst = strconv.AppendUint(dst, r.Version, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"created":"`...)
	dst = r.Created.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	if r.CreatedBy != "" {
		dst = append(dst, `,"created_by":`...)
		dst = appendString(dst, r.CreatedBy)
	}
	if r.UpdatedBy != "" {
		dst = append(dst, `,"updated_by":`...)
		dst = appendString(dst, r.UpdatedBy)
	}
	if !r.Updated.IsZero() {
		dst = append(dst, `,"updated":"`...)
		dst = r.Updated.AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, '"')
	}
	if r.Import != "" {
		dst = append(dst, `,"import":`...)
		dst = appendString(dst, r.Import)
		dst = append(dst, `,"line":`...)
		dst = strconv.AppendInt(dst, int64(r.Line), 10)
	}
	if r.LastImport != "" {
		dst = append(dst, `,"last_import":`...)
		dst = appendString(dst, r.LastImport)
	}
	return append(dst, '}'), nil
}

// appendString writes a JSON string; contacts hold valid UTF-8 only.
func appendString(dst []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

func (recordCodec) Decode(data []byte, r *record) error { return json.Unmarshal(data, r) }
