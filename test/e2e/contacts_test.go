package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ihyid/exchange/register"
	"ihyid/test/harness"
)

// imported is what `contacts import --json` answers.
type imported struct {
	register.ImportResult
	Report []register.Outcome `json:"report"`
}

const header = "first_name,last_name,mother_first_name,father_first_name,date_of_birth,phone\n"

// TestBadLists imports files that cannot be read, or can in part, through the command line.
func TestBadLists(t *testing.T) {
	t.Parallel()
	n := harness.New(t, program).Add("alpha")
	dir := t.TempDir()
	write := func(t *testing.T, text string) string {
		t.Helper()
		f, err := os.CreateTemp(dir, "*.csv")
		harness.Check(t, err)
		_, err = f.WriteString(text)
		harness.Check(t, err)
		harness.Check(t, f.Close())
		return f.Name()
	}
	columns := func(n int) string {
		var b strings.Builder
		b.WriteString("first_name,last_name,date_of_birth")
		for i := 3; i < n; i++ {
			fmt.Fprintf(&b, ",extra_%d", i)
		}
		return b.String() + "\nAmal,Khoury,1980-02-13" + strings.Repeat(",x", n-3) + "\n"
	}
	big := strings.Repeat("x", 10<<20)
	const secret = "Zenobiah" // a name that no answer and no log may hold

	for _, tc := range []struct{ name, text, says string }{
		{"200 columns", columns(200), "100 columns"},
		{"a header that is not UTF-8", "first_name,last_name,n\xe9e\nAmal,Khoury,x\n", "UTF-8"},
		{"UTF-16", "\xff\xfef\x00i\x00r\x00s\x00t\x00", "UTF-16"},
		{"a header of 10 MB", big + "\nAmal\n", "header"},
		{"10 MB between quotes in the header", `first_name,"` + big + "\nAmal\n", "header"},
		{"nothing", "", "empty"},
		{"only zeros", strings.Repeat("\x00", 1<<20), ""},
		{"no known column", "a,b,c\n1,2,3\n", "first_name"},
		{"a column twice", "first_name,first_name\nAmal,Amal\n", "first_name"},
		{"no names", "phone\n123\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, err := n.Client.Status(t.Context())
			harness.Check(t, err)
			out, errs, status := n.Run("contacts", "import", write(t, tc.text))
			refused(t, out, errs, status, 1, tc.says, "import")
			after, err := n.Client.Status(t.Context())
			harness.Check(t, err)
			if after.Contacts != before.Contacts || after.Jobs != 0 {
				t.Errorf("%d contacts and %d jobs; before %d contacts", after.Contacts, after.Jobs, before.Contacts)
			}
			if left, _ := filepath.Glob(filepath.Join(n.Data, "*spool*", "*")); len(left) != 0 {
				t.Errorf("the list is still there: %d files", len(left))
			}
		})
	}

	row := func(first string) string { return first + ",Khoury,Nadia,Samir,1980-02-13,\n" }
	for i, tc := range []struct {
		name, bad string // bad stands between two good rows, in line 3
		column    int
		field     string
		says      string
	}{
		{"invalid UTF-8", secret + "\xff\xfe,Khoury,Nadia,Samir,1980-02-13,\n", 1, "first_name", "UTF-8"},
		{"a field of 10 MB", secret + "," + big + ",Nadia,Samir,1980-02-13,\n", 0, "", "longer than"},
		{"a quoted field of 10 MB", secret + `,"` + big + "\",Nadia,Samir,1980-02-13,\n", 0, "", "longer than"},
		{"a field of 5000 bytes", secret + "," + big[:5000] + ",Nadia,Samir,1980-02-13,\n", 2, "last_name", "longer than"},
		{"an ambiguous date", secret + ",Khoury,Nadia,Samir,03/04/1980,\n", 5, "date_of_birth", ""},
		{"a date that is none", secret + ",Khoury,Nadia,Samir,1980-02-31,\n", 5, "date_of_birth", ""},
		{"a quote that never closes", `"` + secret + ",Khoury,Nadia,Samir,1980-02-13,\n", 1, "first_name", "quote"},
		{"too few fields", secret + ",Khoury\n", 0, "", "fields"},
		{"200 fields", secret + strings.Repeat(",x", 199) + "\n", 0, "", "fields"},
		{"a zero byte", secret + "\x00,Khoury,Nadia,Samir,1980-02-13,\n", 1, "first_name", "control"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, err := n.Client.Status(t.Context())
			harness.Check(t, err)
			first, second := fmt.Sprintf("Amal%c", 'a'+i), fmt.Sprintf("Basma%c", 'a'+i)
			file := write(t, header+row(first)+tc.bad+row(second))
			out, errs, status := n.Run("contacts", "import", "--json", file)
			if status != 0 || errs != "" {
				t.Fatalf("status %d: %s", status, errs)
			}
			var r imported
			harness.Check(t, json.Unmarshal([]byte(out), &r))
			if r.Rows != 3 || r.Created != 2 || r.Rejected != 1 {
				t.Errorf("of three rows of which one is bad: %+v", r.ImportResult)
			}
			at := slices.IndexFunc(r.Report, func(o register.Outcome) bool { return o.Outcome == register.Rejected })
			if at < 0 {
				t.Fatalf("no row was rejected: %s", out)
			}
			got := r.Report[at]
			if got.Line != 3 || got.Column != tc.column || got.Field != tc.field || !strings.Contains(got.Reason, tc.says) || got.Reason == "" {
				t.Errorf("the answer is %+v", got)
			}
			if strings.Contains(out, secret) {
				t.Error("the answer holds the name")
			}
			after, err := n.Client.Status(t.Context())
			harness.Check(t, err)
			if after.Contacts != before.Contacts+2 {
				t.Errorf("%d contacts, before %d", after.Contacts, before.Contacts)
			}
			out, errs, status = n.Run("contacts", "import", "--strict", file)
			if status != 1 || errs != "" || !strings.Contains(out, "line 3: rejected") || strings.Contains(out, secret) {
				t.Errorf("with --strict: status %d, %q, %q", status, out, errs)
			}
		})
	}
	t.Run("a directory", func(t *testing.T) {
		out, errs, status := n.Run("contacts", "import", dir)
		refused(t, out, errs, status, 1, "directory")
	})
	t.Run("no file", func(t *testing.T) {
		out, errs, status := n.Run("contacts", "import", filepath.Join(dir, "none"))
		refused(t, out, errs, status, 1, "none")
	})
	t.Run("no name", func(t *testing.T) {
		out, errs, status := n.Run("contacts", "import")
		refused(t, out, errs, status, 2)
	})
	log, err := os.ReadFile(n.LogFile())
	harness.Check(t, err)
	if bytes.Contains(log, []byte(secret)) {
		t.Error("the log holds a name")
	}
}

// TestCheckAnonymous asks a node for contacts in the prototype's form: two lists without order.
func TestCheckAnonymous(t *testing.T) {
	t.Parallel()
	n := harness.New(t, program).Add("alpha")
	job, err := n.Import([]byte(header + "Houman,Haddad,Barbara,Michael,1976-05-07,\nAmal,Khoury,Nadia,Samir,1980-02-13,\nHalf,Known,,,1990-01-01,\n"))
	harness.Check(t, err)
	if j := n.Job(job.ID); j.State != "done" {
		t.Fatal(j.Error)
	}
	uscadi := func(phoneticID, secret string) string {
		sum := sha256.Sum256([]byte(phoneticID + secret))
		return hex.EncodeToString(sum[:])
	}
	houman := uscadi("H550-H330-B616-M240-19760507", "00aa")
	amal := uscadi("A540-K600-N300-S560-19800213", "5f5f5f")
	stranger := uscadi("S365-N200-N300-S560-19800213", "ffffffff")
	dir := t.TempDir()
	file := filepath.Join(dir, "anonymous.json")
	write := func(t *testing.T, v any) {
		t.Helper()
		text, err := json.Marshal(v)
		harness.Check(t, err)
		harness.Check(t, os.WriteFile(file, text, 0o600))
	}
	write(t, map[string][]string{"uscadis": {stranger, houman, amal}, "secrets": {"5f5f5f", "00aa", "ffffffff"}})
	out, errs, status := n.Run("check-anonymous", file)
	var got []map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 || errs != "" {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	want := []map[string]string{{"uscadi": stranger, "known": "false"}, {"uscadi": houman, "known": "true"}, {"uscadi": amal, "known": "true"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the answer is %v, want %v", got, want)
	}
	for name, text := range map[string]string{
		"truncated":       `{"uscadis":["` + houman,
		"a list missing":  `{"uscadis":[]}`,
		"something else":  `{"uscadis":[],"secrets":[],"names":[]}`,
		"numbers":         `{"uscadis":[1],"secrets":[]}`,
		"a member twice":  `{"uscadis":[],"uscadis":[],"secrets":[]}`,
		"an array":        `[]`,
		"not UTF-8":       "{\"uscadis\":[\"\xff\"],\"secrets\":[]}",
		"over the limit":  `{"uscadis":["` + strings.Repeat("a", 17<<20) + `"],"secrets":[]}`,
		"too long a word": `{"uscadis":["` + houman + `"],"secrets":["` + strings.Repeat("a", 1000) + `"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			harness.Check(t, os.WriteFile(file, []byte(text), 0o600))
			out, errs, status := n.Run("check-anonymous", file)
			refused(t, out, errs, status, 1)
		})
	}
}
