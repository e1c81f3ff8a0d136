package sqlmap

import (
	"errors"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/copyio"
	"pgcache/sqlmap/types"
)

// copyToAction is COPY … TO STDOUT: a query whose rows go out in one of COPY's formats.
type copyToAction struct {
	query   *plan
	options copyio.Options
	names   []string
}

func (p *planner) copyTo(s *pg_query.CopyStmt) (*plan, error) {
	r, err := copyOptions(s.Options, false)
	if err != nil {
		return nil, err
	}
	query := s.Query
	if query == nil {
		if query, err = p.copyQuery(s); err != nil {
			return nil, err
		}
	}
	// A utility statement has no parameters.
	inner := &planner{handler: p.handler, sql: p.sql, isSimple: true, path: p.path, names: p.names}
	a := &copyToAction{}
	if a.query, err = inner.finish(query); err != nil {
		if s.Query == nil {
			err = withoutPosition(err)
		}
		return nil, err
	}
	if a.query.columns == nil {
		return nil, unsupported(-1, "COPY of a statement that returns no rows is", copyHint)
	}
	for _, c := range a.query.columns {
		a.names = append(a.names, c.Name)
	}
	if err := r.force(a.names); err != nil {
		return nil, err
	}
	a.options = r.options
	return &plan{action: a, writes: a.query.writes}, nil
}

// withoutPosition drops a position that is in another text.
func withoutPosition(err error) error {
	var e *pgwire.Error
	if errors.As(err, &e) {
		e.Position = 0
	}
	return err
}

// copyQuery is the SELECT that COPY relation TO stands for.
func (p *planner) copyQuery(s *pg_query.CopyStmt) (*pg_query.Node, error) {
	var names []string
	for _, n := range s.Attlist {
		names = append(names, quoteName(n.GetString_().GetSval()))
	}
	relation := quoteName(s.Relation.Relname)
	if s.Relation.Schemaname != "" {
		relation = quoteName(s.Relation.Schemaname) + "." + relation
	}
	switch {
	case names != nil:
	case s.Relation.Relname == "blob":
		for _, c := range copyColumns() {
			names = append(names, blobTable[c].name)
		}
	default:
		names = []string{"*"}
	}
	tree, err := p.handler.parse("SELECT " + strings.Join(names, ", ") + " FROM " + relation)
	if err != nil {
		return nil, err
	}
	return tree[0].Stmt, nil
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (a *copyToAction) run(x *execution) (outcome, error) {
	inner := &execution{session: x.session, plan: a.query, columns: a.query.columns, isAlone: x.isAlone, started: true, runs: 1, reply: x.reply}
	inner.env = x.env
	inner.env.Params = nil
	defer inner.Close()
	var err error
	if inner.out, err = a.query.action.run(inner); err != nil {
		return outcome{}, err
	}
	if inner.out.rows == nil {
		return outcome{}, pgwire.Errorf(pgwire.CodeInternalError, "a query has no rows")
	}
	count, err := a.send(x, inner)
	return outcome{tag: "COPY", count: count, counted: true}, err
}

// send sends the rows of the query. A client that is gone ends it.
func (a *copyToAction) send(x, inner *execution) (count int64, err error) {
	r := x.reply
	r.BeginCopyOut(wireFormats(&a.options, len(a.names)))
	if header := a.options.AppendHeader(nil, a.names); header != nil {
		r.EndCopyData(append(r.BeginCopyData(), header...))
	}
	values := make([]types.Value, len(a.names))
	fields := make([][]byte, len(a.names))
	var scratch []byte
	for ; ; count++ {
		if count%256 == 255 {
			if err := x.env.Ctx.Err(); err != nil {
				return count, err
			}
		}
		ok, err := inner.out.rows.next(inner, values)
		if err != nil {
			return count, err
		}
		if !ok {
			break
		}
		scratch = a.encode(scratch[:0], fields, values, inner)
		r.EndCopyData(a.options.AppendRow(r.BeginCopyData(), fields))
	}
	if a.options.Format == copyio.Binary {
		r.EndCopyData(a.options.AppendTrailer(r.BeginCopyData()))
	}
	r.EndCopyOut()
	return count, nil
}

// encode makes the fields of a row, in scratch.
func (a *copyToAction) encode(scratch []byte, fields [][]byte, values []types.Value, inner *execution) []byte {
	const keptBytesMax = 1 << 20
	if cap(scratch) > keptBytesMax {
		scratch = nil
	}
	for i, v := range values {
		oid := types.OID(a.query.columns[i].TypeOID)
		isAsItIs := oid == types.Text || oid == types.Bytea && a.options.Format == copyio.Binary
		switch {
		case v.IsNull:
			fields[i] = nil
		case isAsItIs:
			if fields[i] = v.Bytes; v.Bytes == nil {
				fields[i] = []byte{}
			}
		default:
			// Fields made before stay where they are when scratch grows into other memory.
			start := len(scratch)
			if a.options.Format == copyio.Binary {
				scratch = types.AppendBinary(scratch, oid, v)
			} else {
				scratch = types.AppendText(scratch, oid, v, &inner.env.Style)
			}
			fields[i] = scratch[start:len(scratch):len(scratch)]
		}
	}
	return scratch
}
