package register

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/store"
)

// Mapping is how the lists of one source are read, remembered by name.
type Mapping struct {
	Name      string            `json:"name"`
	Map       map[string]string `json:"map,omitempty"` // column → field of a contact, "-" to leave it out
	Comma     string            `json:"comma,omitempty"`
	DateOrder string            `json:"date_order,omitempty"`
	Sheet     string            `json:"sheet,omitempty"`
	By        string            `json:"by,omitempty"`
	Saved     time.Time         `json:"saved,omitzero"`
}

// Limits of mappings.
const (
	maxMappings    = 200
	maxMappingName = 100 // characters
	maxColumnName  = 1000
)

// ErrNoMapping is returned for a mapping that nobody has saved.
var ErrNoMapping = errors.New("there is no mapping of that name")

// mappingKey hides the name, as all record keys must.
func (r *Register) mappingKey(name string) []byte {
	t := r.ids.Hash([]byte("mapping\x00" + name))
	return t[:]
}

// SaveMapping remembers a mapping under its name, in place of any of that name. Errors: ErrOptions.
func (r *Register) SaveMapping(ctx context.Context, m Mapping, by string) (Mapping, error) {
	m.Name = strings.TrimSpace(m.Name)
	if n := utf8.RuneCountInString(m.Name); n == 0 || n > maxMappingName || !utf8.ValidString(m.Name) {
		return m, fmt.Errorf("%w: the name of a mapping has 1 to %d characters", ErrOptions, maxMappingName)
	}
	o := ImportOptions{Comma: m.Comma, DateOrder: m.DateOrder, Map: m.Map, Sheet: m.Sheet}
	if _, err := o.reader(nil); err != nil {
		return m, err
	}
	m.By, m.Saved = clipBy(by), r.now().UTC()
	return m, r.store.Update(ctx, func(tx *store.Tx) error {
		key := r.mappingKey(m.Name)
		there, err := r.mappings.Has(tx, key)
		if err != nil {
			return err
		}
		if n, err := r.mappings.Len(tx); err != nil || n >= maxMappings && !there {
			return errors.Join(err, fmt.Errorf("%w: there are %d mappings already; delete one", ErrOptions, n))
		}
		return r.mappings.Put(tx, key, m)
	})
}

// Mapping gives a mapping. Errors: ErrNoMapping.
func (r *Register) Mapping(ctx context.Context, name string) (m Mapping, err error) {
	err = r.store.View(ctx, func(tx *store.Tx) error {
		m, err = r.mappings.Get(tx, r.mappingKey(strings.TrimSpace(name)))
		if errors.Is(err, store.ErrNotFound) {
			return ErrNoMapping
		}
		return err
	})
	return m, err
}

// Mappings lists all mappings by name.
func (r *Register) Mappings(ctx context.Context) ([]Mapping, error) {
	out := []Mapping{}
	err := r.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range r.mappings.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			out = append(out, item.Value)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b Mapping) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// DeleteMapping forgets a mapping. Errors: ErrNoMapping.
func (r *Register) DeleteMapping(ctx context.Context, name string) error {
	return r.store.Update(ctx, func(tx *store.Tx) error {
		key := r.mappingKey(strings.TrimSpace(name))
		if there, err := r.mappings.Has(tx, key); err != nil || !there {
			return errors.Join(err, ErrNoMapping)
		}
		return r.mappings.Delete(tx, key)
	})
}

// withMapping fills options up from the mapping that they name.
func (r *Register) withMapping(ctx context.Context, o ImportOptions) (ImportOptions, error) {
	if o.Mapping == "" {
		return o, nil
	}
	m, err := r.Mapping(ctx, o.Mapping)
	if err != nil {
		return o, err
	}
	all := map[string]string{}
	for column, field := range m.Map {
		// A field that is mapped now comes from the column named now.
		taken := false
		for _, f := range o.Map {
			taken = taken || f == field && f != "-"
		}
		if !taken {
			all[column] = field
		}
	}
	for column, field := range o.Map {
		all[column] = field
	}
	o.Map = all
	for _, v := range []struct {
		to   *string
		from string
	}{{&o.Comma, m.Comma}, {&o.DateOrder, m.DateOrder}, {&o.Sheet, m.Sheet}} {
		if *v.to == "" {
			*v.to = v.from
		}
	}
	return o, nil
}

// checkMap refuses a map that no list can have.
func checkMap(m map[string]string) error {
	if len(m) > list.MaxColumns {
		return fmt.Errorf("%w: more than %d columns are mapped", ErrOptions, list.MaxColumns)
	}
	seen := map[string]bool{}
	for column, field := range m {
		if column == "" || len(column) > maxColumnName || !utf8.ValidString(column) {
			return fmt.Errorf("%w: a mapped column has a name of 1 to %d bytes", ErrOptions, maxColumnName)
		}
		if field == "-" {
			continue
		}
		if _, ok := contacts.ParseField(field); !ok {
			return fmt.Errorf("%w: a column is mapped to what is no field of a contact", ErrOptions)
		}
		if seen[field] {
			return fmt.Errorf("%w: two columns are mapped to %s", ErrOptions, field)
		}
		seen[field] = true
	}
	return nil
}
