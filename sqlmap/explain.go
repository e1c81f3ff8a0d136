package sqlmap

import (
	"context"
	"slices"
	"strings"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// explainOptions are those of EXPLAIN that make a difference here. COSTS, BUFFERS, WAL,
// SETTINGS, MEMORY and SERIALIZE are taken, because tools give them.
type explainOptions struct {
	analyze, verbose, json bool
	noTiming               bool // TIMING off or SUMMARY off
}

const explainHint = "Write EXPLAIN [(ANALYZE, VERBOSE, FORMAT TEXT or JSON)] SELECT, INSERT, UPDATE or DELETE …."

func parseExplainOptions(list []*pg_query.Node) (explainOptions, error) {
	var o explainOptions
	for _, n := range list {
		d := n.GetDefElem()
		if d.GetDefname() == "format" {
			switch format := optionText(d); format {
			case "text":
				o.json = false
			case "json":
				o.json = true
			case "xml", "yaml":
				return o, unsupported(d.Location, "EXPLAIN in format "+format+" is", explainHint)
			default:
				return o, query.AtOffset(pgwire.Errorf(pgwire.CodeInvalidParameterValue, "unrecognized value for EXPLAIN option \"format\": \"%s\"", format), d.Location)
			}
			continue
		}
		isOn := true
		if d.Arg != nil {
			text, ok := checkBool(optionText(d))
			if !ok && d.GetDefname() != "serialize" {
				return o, query.AtOffset(pgwire.Errorf(pgwire.CodeSyntaxError, "%s requires a Boolean value", d.GetDefname()), d.Location)
			}
			isOn = text == "on"
		}
		switch name := d.GetDefname(); name {
		case "analyze":
			o.analyze = isOn
		case "verbose":
			o.verbose = isOn
		case "timing", "summary":
			o.noTiming = !isOn
		case "costs", "buffers", "wal", "settings", "memory", "serialize", "generic_plan":
		default:
			return o, query.AtOffset(pgwire.Errorf(pgwire.CodeSyntaxError, "unrecognized EXPLAIN option \"%s\"", name), d.Location)
		}
	}
	return o, nil
}

// optionText is the argument of an option, as a lower-case word.
func optionText(d *pg_query.DefElem) string {
	switch arg := d.Arg.GetNode().(type) {
	case *pg_query.Node_String_:
		return strings.ToLower(arg.String_.Sval)
	case *pg_query.Node_Integer:
		if arg.Integer.Ival == 0 {
			return "off"
		}
		return "on"
	case *pg_query.Node_Boolean:
		if arg.Boolean.Boolval {
			return "on"
		}
		return "off"
	}
	return ""
}

// explainStatement is EXPLAIN: it names the operation of the cache that a statement became,
// and with ANALYZE runs it and tells what it did.
func (p *planner) explainStatement(n *pg_query.ExplainStmt) (*plan, error) {
	options, err := parseExplainOptions(n.Options)
	if err != nil {
		return nil, err
	}
	explainee := n.Query
	if declare := explainee.GetDeclareCursorStmt(); declare != nil {
		explainee = declare.Query
	}
	switch q := explainee.GetNode().(type) {
	case *pg_query.Node_ExecuteStmt:
		execute := executeStatement{q.ExecuteStmt.Name, q.ExecuteStmt.Params, p.sql}
		return &plan{late: &explainExecute{execute, options, n.Options}}, nil
	case *pg_query.Node_SelectStmt, *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt:
	default:
		return nil, unsupported(-1, "EXPLAIN of this statement is", explainHint)
	}
	p.conditions = &conditionTexts{}
	explained, err := p.plan(explainee)
	if err != nil {
		return nil, err
	}
	return p.explain(explained, options), nil
}

// explain is EXPLAIN of a plan that was made with conditions noted.
func (p *planner) explain(explained *plan, options explainOptions) *plan {
	tree := p.describe(explained, options.verbose)
	out := &plan{columns: options.columns(), ownParams: explained.ownParams}
	if options.analyze {
		out.writes = explained.writes
	}
	out.action = actionFunc(func(x *execution) (outcome, error) {
		var ran *explainRun
		if options.analyze {
			var err error
			if ran, err = explainAnalyze(x, explained); err != nil {
				return outcome{}, err
			}
		}
		return outcome{tag: "EXPLAIN", rows: &rowList{explainRows(tree, ran, options)}}, nil
	})
	return out
}

// columns are those of the result.
func (o explainOptions) columns() []pgwire.Column {
	if o.json {
		return []pgwire.Column{column("QUERY PLAN", types.JSON)}
	}
	return []pgwire.Column{column("QUERY PLAN", types.Text)}
}

// explainExecute is EXPLAIN EXECUTE name (arguments). It plans the text of the prepared
// statement once more: plans do not keep their conditions as texts.
type explainExecute struct {
	executeStatement
	options explainOptions
	list    []*pg_query.Node // the same as given
}

func (e *explainExecute) columns(*session) []pgwire.Column { return e.options.columns() }
func (e *explainExecute) endsTransaction(*session) bool    { return false }

func (e *explainExecute) bind(ctx context.Context, s *session, args *pgwire.BindArgs) (pgwire.Portal, error) {
	prepared, err := e.find(s)
	if err != nil {
		return nil, err
	}
	inner := &pgwire.BindArgs{ResultFormats: args.ResultFormats}
	if inner.Params, err = e.arguments(s, prepared); err != nil {
		return nil, position(e.sql, err)
	}
	inner.ParamFormats = slices.Repeat([]pgwire.Format{pgwire.Binary}, len(inner.Params))
	node, sql, err := e.source(s)
	if err != nil {
		return nil, err
	}
	p := &planner{handler: s.handler, sql: sql, declared: prepared.ParamOIDs(), path: s.own.path, names: s.own.names}
	explained, err := p.finish(&pg_query.Node{Node: &pg_query.Node_ExplainStmt{ExplainStmt: &pg_query.ExplainStmt{Query: node, Options: e.list}}})
	if err != nil {
		return nil, position(sql, err)
	}
	return (&statement{session: s, plan: explained}).Bind(ctx, inner, nil)
}

// source is the tree of the prepared statement, and the text that it is of.
func (e *explainExecute) source(s *session) (*pg_query.Node, string, error) {
	for _, named := range s.info.Names.Statements() {
		if named.Name != e.name {
			continue
		}
		stmts, err := s.handler.parse(named.SQL)
		if err != nil {
			return nil, "", err
		}
		for _, stmt := range slices.Backward(stmts) {
			prepare := stmt.Stmt.GetPrepareStmt()
			switch {
			case !named.FromSQL:
				return stmt.Stmt, named.SQL, nil
			case prepare != nil && prepare.Name == e.name:
				return prepare.Query, named.SQL, nil
			}
		}
	}
	return nil, "", unsupported(-1, "EXPLAIN EXECUTE of this statement is", explainHint)
}

// explainRun is what ANALYZE found out.
type explainRun struct {
	rows    int64 // returned, or written
	trace   runTrace
	elapsed time.Duration
}

// runTrace counts what a statement does to entries.
type runTrace struct {
	inL1, inL2, pending, absent int64 // entries read, by where they were
	filtered                    int64 // rows that did not pass
	bytesRead, bytesWritten     int64 // of payloads
	written, deleted            int64
}

// explainAnalyze runs a statement and drops its rows.
func explainAnalyze(x *execution, explained *plan) (*explainRun, error) {
	run := &explainRun{}
	inner := &execution{session: x.session, plan: explained, columns: explained.columns, isAlone: x.isAlone, reply: x.reply, started: true, runs: 1, trace: &run.trace}
	inner.env = x.env
	began := x.session.handler.config.Now()
	var err error
	if inner.out, err = explained.action.run(inner); err != nil {
		return nil, err
	}
	if inner.out.rows != nil {
		defer inner.out.rows.close()
		row := make([]types.Value, len(explained.columns))
		for n := int64(1); ; n++ {
			ok, err := inner.out.rows.next(inner, row)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			run.rows = n
			if n&1023 == 0 && x.env.Ctx.Err() != nil {
				return nil, x.env.Ctx.Err()
			}
		}
	}
	if inner.out.counted {
		run.rows = inner.out.count
	}
	run.elapsed = x.session.handler.config.Now().Sub(began)
	return run, nil
}

// conditionTexts are the conditions of a WHERE as SQL, for EXPLAIN.
type conditionTexts struct{ keys, others []string }

// note keeps the text of a condition; isKey says that rows are found by it.
func (c *conditionTexts) note(n *pg_query.Node, isKey bool) {
	if c == nil {
		return
	}
	if isKey {
		c.keys = append(c.keys, deparse(n))
		return
	}
	c.others = append(c.others, deparse(n))
}

// deparse is an expression as SQL.
func deparse(n *pg_query.Node) string {
	const prefix = "SELECT "
	target := &pg_query.Node{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Val: n}}}
	statement := &pg_query.SelectStmt{TargetList: []*pg_query.Node{target}, Op: pg_query.SetOperation_SETOP_NONE,
		LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT}
	text, err := pg_query.Deparse(&pg_query.ParseResult{Stmts: []*pg_query.RawStmt{{
		Stmt: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: statement}}}}})
	if err != nil || !strings.HasPrefix(text, prefix) {
		return "…"
	}
	return text[len(prefix):]
}
