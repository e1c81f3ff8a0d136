package sqlmap

import (
	"context"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"pgcache/cache"
)

// forms are other forms of what testdata/sql sends as text.
type forms struct {
	extended   bool // a Query of one statement goes as Parse, Bind, Execute
	binary     bool // results, and parameters
	parameters bool // strings in the text become parameters
}

// TestSQLForms runs testdata/sql again: each statement in the extended protocol with binary
// results, and again with parameters, in text and binary, in place of its strings. All must
// answer as the Query did.
func TestSQLForms(t *testing.T) {
	paths, err := filepath.Glob("../testdata/sql/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for name, f := range map[string]forms{
		"binary":            {extended: true, binary: true},
		"parameters":        {extended: true, parameters: true},
		"binary parameters": {extended: true, parameters: true, binary: true},
	} {
		for _, path := range paths {
			t.Run(name+"/"+strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, func(c *Config, _ *cache.Config) { c.Limits.TransactionBytesMax = 64 << 10 })
				w.forms = f
				runSQL(t, path, w)
			})
		}
	}
}

// place is where in a text an error is, which parameters change.
var place = regexp.MustCompile(` \(at \d+\)`)

// sameAs returns what was expected if got is the same in these forms, else got.
func (f forms) sameAs(expected, got string) string {
	if f.parameters && place.ReplaceAllString(expected, "") == place.ReplaceAllString(got, "") {
		return expected
	}
	return got
}

// extended runs a text of one statement as w.forms says.
func (w *world) extended(s *session, sql string) (out string, ok bool) {
	if !w.forms.extended {
		return "", false
	}
	tree, err := pg_query.Parse(sql)
	if err != nil || len(tree.Stmts) != 1 || strings.Contains(sql, "$1") { // which a Query cannot have
		return "", false
	}
	var params []string
	if w.forms.parameters {
		sql, params = parametrized(sql, tree.Stmts[0].Stmt)
	}
	var t transcript
	statement, err := s.Prepare(context.Background(), sql, nil)
	if err != nil {
		t.failed(s, err)
	} else {
		w.runStatement(&t, s, statement, params, true)
	}
	w.endCycle(&t, s)
	return t.String(), true
}

// beforeString are the tokens after which a string is a value of its own: not that of
// interval '1 day', or an option.
var beforeString = regexp.MustCompile(`(?i)^([^\w\s'"$]+|like|ilike|and|or|then|else|when|between|select|values|in)$`)

// parametrized replaces the strings of a statement by parameters.
func parametrized(sql string, stmt *pg_query.Node) (string, []string) {
	switch stmt.Node.(type) {
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_CallStmt:
	default:
		return sql, nil
	}
	values := map[int32]string{} // by where they are
	collectStrings(stmt.ProtoReflect(), values)
	scanned, err := pg_query.Scan(sql)
	if err != nil {
		return sql, nil
	}
	var out strings.Builder
	var params []string
	last, before := int32(0), ""
	for _, token := range scanned.Tokens {
		value, ok := values[token.Start]
		if text := sql[token.Start:token.End]; ok && token.Token == pg_query.Token_SCONST && beforeString.MatchString(before) && value != "NULL" {
			params = append(params, value)
			out.WriteString(sql[last:token.Start] + "$" + strconv.Itoa(len(params)))
			last = token.End
			before = "$"
		} else {
			before = text
		}
	}
	return out.String() + sql[last:], params
}

func collectStrings(m protoreflect.Message, values map[int32]string) {
	if c, ok := m.Interface().(*pg_query.A_Const); ok {
		if s, ok := c.Val.(*pg_query.A_Const_Sval); ok {
			values[c.Location] = s.Sval.Sval
		}
		return
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				collectStrings(v.List().Get(i).Message(), values)
			}
		default:
			collectStrings(v.Message(), values)
		}
		return true
	})
}
