package sqlmap

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/copyio"
	"pgcache/sqlmap/query"
)

const copyHint = "Write COPY blob (ns, key, value, …) FROM STDIN, COPY blob TO STDOUT or COPY (SELECT …) TO STDOUT, with FORMAT text, csv or binary."

// copyColumns are those of COPY without a list: all that can be written, but the payload's
// text and the lease.
func copyColumns() []int {
	return []int{colNS, colKey, colValue, colMetadata, colTags, colDependencies, colVersion, colPriority,
		colL1Admission, colTTL, colExpiresAt, colIdleTTL, colStaleTTL, colJitter}
}

func (p *planner) copyStatement(s *pg_query.CopyStmt) (*plan, error) {
	if s.IsProgram || s.Filename != "" {
		from := "to"
		if s.IsFrom {
			from = "from"
		}
		e := pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "permission denied to COPY %s a file", from)
		e.Hint = "COPY TO STDOUT and COPY FROM STDIN work for everybody, and so does psql's \\copy command."
		return nil, e
	}
	if s.IsFrom {
		return p.copyFrom(s)
	}
	return p.copyTo(s)
}

// copyOptions reads the options of COPY. names are the columns, for those that list some.
func copyOptions(list []*pg_query.Node, isFrom bool) (*optionReader, error) {
	r := &optionReader{isFrom: isFrom, seen: map[string]bool{}}
	for _, n := range list {
		d := n.GetDefElem()
		if r.seen[d.Defname] {
			return nil, query.AtOffset(pgwire.Errorf(pgwire.CodeSyntaxError, "conflicting or redundant options"), d.Location)
		}
		r.seen[d.Defname] = true
		if err := r.read(d); err != nil {
			return nil, err
		}
	}
	return r, r.finish()
}

// optionReader collects options, which may come in any order.
type optionReader struct {
	isFrom   bool
	seen     map[string]bool
	options  copyio.Options
	conflict string
	forced   map[string][]string // lists of columns by option; nil: all
}

func (r *optionReader) read(d *pg_query.DefElem) error {
	value, isNamed := defText(d.Arg)
	switch d.Defname {
	case "format":
		formats := map[string]copyio.Format{"text": copyio.Text, "csv": copyio.CSV, "binary": copyio.Binary}
		f, ok := formats[value]
		if !ok {
			return query.AtOffset(pgwire.Errorf(pgwire.CodeInvalidParameterValue, "COPY format \"%s\" not recognized", value), d.Location)
		}
		r.options.Format = f
	case "delimiter":
		return oneByte(&r.options.Delimiter, value, "delimiter")
	case "quote":
		return oneByte(&r.options.Quote, value, "quote")
	case "escape":
		return oneByte(&r.options.Escape, value, "escape")
	case "null":
		r.options.Null = value
	case "header":
		return r.header(value, isNamed)
	case "encoding":
		if name := strings.ToLower(strings.ReplaceAll(value, "-", "")); name != "utf8" && name != "unicode" {
			return unsupported(d.Location, "COPY in encoding "+value+" is", "Data is UTF-8; convert it, e.g. with iconv.")
		}
	case "force_quote", "force_not_null", "force_null":
		if r.forced == nil {
			r.forced = map[string][]string{}
		}
		var names []string
		for _, item := range d.Arg.GetList().GetItems() {
			names = append(names, item.GetString_().GetSval())
		}
		r.forced[d.Defname] = names
	case "on_conflict":
		if value != "error" && value != "nothing" && value != "update" || !r.isFrom {
			return query.AtOffset(pgwire.Errorf(pgwire.CodeInvalidParameterValue, "on_conflict must be error, nothing or update, and is for COPY FROM"), d.Location)
		}
		r.conflict = value
	default:
		e := pgwire.Errorf(pgwire.CodeSyntaxError, "option \"%s\" not recognized", d.Defname)
		e.Hint = "Options are format, delimiter, null, header, quote, escape, force_quote, force_not_null, force_null, encoding and, for FROM, on_conflict."
		return query.AtOffset(e, d.Location)
	}
	return nil
}

// defText is the value of an option as text; isGiven is false for an option without one.
func defText(n *pg_query.Node) (text string, isGiven bool) {
	switch v := n.GetNode().(type) {
	case *pg_query.Node_String_:
		return v.String_.Sval, true
	case *pg_query.Node_Boolean:
		if v.Boolean.Boolval {
			return "true", true
		}
		return "false", true
	case *pg_query.Node_Integer:
		if v.Integer.Ival == 0 {
			return "0", true
		}
		return "1", true
	case *pg_query.Node_TypeName:
		names := query.Names(v.TypeName.Names)
		return names[len(names)-1], true
	}
	return "", false
}

func oneByte(field *byte, value, what string) error {
	if len(value) != 1 {
		return pgwire.Errorf(pgwire.CodeFeatureNotSupported, "COPY %s must be a single one-byte character", what)
	}
	*field = value[0]
	return nil
}

func (r *optionReader) header(value string, isGiven bool) error {
	switch strings.ToLower(value) {
	case "true", "on", "1":
		r.options.Header = copyio.HeaderNames
	case "false", "off", "0":
		r.options.Header = copyio.HeaderNone
	case "match":
		if !r.isFrom {
			return pgwire.Errorf(pgwire.CodeFeatureNotSupported, "cannot use \"match\" with HEADER in COPY TO")
		}
		r.options.Header = copyio.HeaderMatch
	default:
		if isGiven {
			return pgwire.Errorf(pgwire.CodeSyntaxError, "header requires a Boolean value or \"match\"")
		}
		r.options.Header = copyio.HeaderNames
	}
	return nil
}

// finish checks what belongs together, in PostgreSQL's words.
func (r *optionReader) finish() error {
	f := r.options.Format
	for _, name := range []string{"delimiter", "null", "header"} {
		if r.seen[name] && f == copyio.Binary {
			return pgwire.Errorf(pgwire.CodeSyntaxError, "cannot specify %s in BINARY mode", strings.ToUpper(name))
		}
	}
	for _, name := range []string{"quote", "escape", "force_quote", "force_not_null", "force_null"} {
		words := strings.ReplaceAll(name, "_", " ")
		switch {
		case r.seen[name] && f != copyio.CSV:
			return pgwire.Errorf(pgwire.CodeFeatureNotSupported, "COPY %s available only in CSV mode", words)
		case r.seen[name] && name == "force_quote" && r.isFrom:
			return pgwire.Errorf(pgwire.CodeFeatureNotSupported, "COPY force quote only available using COPY TO")
		case r.seen[name] && strings.HasPrefix(name, "force_n") && !r.isFrom:
			return pgwire.Errorf(pgwire.CodeFeatureNotSupported, "COPY %s only available using COPY FROM", words)
		}
	}
	r.options.Defaults(r.seen["delimiter"], r.seen["null"], r.seen["quote"], r.seen["escape"])
	return r.options.Check()
}

// force makes positions of the columns that options list.
func (r *optionReader) force(names []string) error {
	for option, target := range map[string]*[]bool{
		"force_quote": &r.options.ForceQuote, "force_not_null": &r.options.ForceNotNull, "force_null": &r.options.ForceNull,
	} {
		if !r.seen[option] {
			continue
		}
		*target = make([]bool, len(names))
		for _, name := range r.forced[option] {
			at := -1
			for i := range names {
				if names[i] == name {
					at = i
				}
			}
			if at < 0 {
				return pgwire.Errorf(pgwire.CodeInvalidColumnReference, "%s column \"%s\" not referenced by COPY", strings.ToUpper(option), name)
			}
			(*target)[at] = true
		}
		if r.forced[option] == nil {
			for i := range names {
				(*target)[i] = true
			}
		}
	}
	return nil
}

// wireFormats are the codes of CopyInResponse and CopyOutResponse.
func wireFormats(o *copyio.Options, columns int) (overall pgwire.Format, formats []pgwire.Format) {
	formats = make([]pgwire.Format, columns)
	if o.Format == copyio.Binary {
		for i := range formats {
			formats[i] = pgwire.Binary
		}
		return pgwire.Binary, formats
	}
	return pgwire.Text, formats
}
