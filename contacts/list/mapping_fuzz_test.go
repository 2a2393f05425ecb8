package list

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ihyid/contacts"
)

// FuzzMapping reads a list through a mapping of columns, both whatever they are. A mapping that is taken names each field and each column once; a list is
// refused with an error about its header or read to its end, and no field is filled by two columns.
func FuzzMapping(f *testing.F) {
	f.Add("first_name=Prénom usuel\nlast_name= Nom ", []byte("Prénom usuel,Nom\nAmal,Khoury\n"))
	f.Add("first_name=a\nphone=b", []byte("{\"a\":\"Amal\",\"b\":\"+961\",\"last_name\":\"K\"}\n"))
	f.Add("last_name=first_name\nfirst_name=last_name", []byte("first_name;last_name\nA;B\n"))
	f.Add("date_of_birth=x=y", []byte("first_name\tx=y\nA\t1980-01-01\n"))
	f.Fuzz(func(t *testing.T, mapping string, file []byte) {
		if len(mapping) > 4096 {
			return
		}
		m, err := ParseMap(strings.Split(mapping, "\n"))
		if err != nil {
			if !errors.Is(err, ErrHeader) {
				t.Fatal(err)
			}
			return
		}
		fields := map[string]bool{}
		for column, field := range m {
			if _, ok := contacts.ParseField(field); !ok || column == "" || fields[field] {
				t.Fatalf("%q is %q", column, field)
			}
			fields[field] = true
		}
		for _, passOver := range []bool{false, true} {
			for _, format := range []Format{CSV, JSONL} {
				r, err := NewReader(bytes.NewReader(file), ReaderOptions{Format: format, Map: m, PassOver: passOver})
				if err != nil {
					continue
				}
				taken := map[string]bool{}
				for _, c := range r.Header().Columns {
					if _, known := contacts.ParseField(c.Field); known && taken[c.Field] {
						t.Fatalf("%s: two columns are %s", format, c.Field)
					}
					taken[c.Field] = true
				}
				for {
					row, err := r.Next()
					if err != nil {
						break
					}
					if row.Err == nil && row.Contact.Validate() != nil {
						t.Fatal("an invalid contact")
					}
				}
			}
		}
	})
}
