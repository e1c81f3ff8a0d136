package wiretest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Reading and writing a transcript changes nothing but what was asked for.
func TestFileRoundTrip(t *testing.T) {
	paths, err := Files("../../testdata/wire")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		directives, after, err := parseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "copy.txt")
		if err := writeFile(copied, directives, after); err != nil {
			t.Fatal(err)
		}
		was, _ := os.ReadFile(path)
		is, _ := os.ReadFile(copied)
		if string(was) != string(is) {
			t.Errorf("%s changes", path)
		}
		if !strings.HasPrefix(string(was), "# ") {
			t.Errorf("%s does not say what it shows", path)
		}
	}
}

// recorder is a TB that notes what it is told.
type recorder struct {
	t    *testing.T
	said []string
}

func (r *recorder) Helper()                           {}
func (r *recorder) Logf(format string, args ...any)   { r.said = append(r.said, "log") }
func (r *recorder) Errorf(format string, args ...any) { r.said = append(r.said, "error") }
func (r *recorder) Fatalf(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
	panic(r)
}

func runText(t *testing.T, text string, opts Options) (said string) {
	path := filepath.Join(t.TempDir(), "x.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t}
	defer func() {
		if v := recover(); v != nil && v != any(r) {
			panic(v)
		}
		said = strings.Join(r.said, ",")
	}()
	Run(r, path, dialEcho, opts)
	return ""
}

// dialEcho connects to a server that greets and answers everything by ReadyForQuery.
func dialEcho() (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		buffer := make([]byte, 10_000)
		answer, _ := (&pgproto3.ReadyForQuery{TxStatus: 'I'}).Encode(nil)
		for {
			if _, err := far.Read(buffer); err != nil {
				return
			}
			if _, err := far.Write(answer); err != nil {
				return
			}
		}
	}()
	return near, nil
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		text string
		opts Options
		want string
	}{
		{"send\nSync\n----\n\nuntil\nReadyForQuery\n----\n" + `{"Type":"ReadyForQuery","TxStatus":"I"}` + "\n", Options{}, ""},
		{"send\nSync\n----\n\nuntil\nReadyForQuery\n----\nother\n", Options{}, "error"},
		{"# x\nonly pgcache\n\nnonsense\n----\n", Options{RealPostgres: true}, "log"},
		{"nonsense\n----\n", Options{}, "unknown directive"},
		{"send\nNonsense\n----\n", Options{}, "no message"},
		{"send\nQuery {\n----\n", Options{}, "unexpected end of JSON"},
		{"send\n\n----\n", Options{}, "no ---- after send"},
	} {
		if got := runText(t, test.text, test.opts); got != test.want && (test.want == "" || !strings.Contains(got, test.want)) {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

// The list of rules names every transcript, and nothing that is not there.
func TestRulesAreGuarded(t *testing.T) {
	const folder = "../../testdata/wire/"
	list, err := os.ReadFile(folder + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, match := range regexp.MustCompile("`([a-z_/]+\\.txt)`").FindAllStringSubmatch(string(list), -1) {
		named[match[1]] = true
		if _, err := os.Stat(folder + match[1]); err != nil {
			t.Error(err)
		}
	}
	for _, sub := range []string{"", "sql/", "login/", "full/"} {
		files, err := Files(folder + sub)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if name := sub + filepath.Base(path); !named[name] {
				t.Errorf("%s guards no rule of the list", name)
			}
		}
	}
	var tests strings.Builder
	paths, _ := filepath.Glob("../*_test.go")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(content)
	}
	for _, match := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(list), -1) {
		if !strings.Contains(tests.String(), "func "+match[1]+"(") {
			t.Errorf("there is no %s", match[1])
		}
	}
}
