package sqlmap

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// queryAction is a SELECT that package query runs.
type queryAction struct{ statement *query.Statement }

// queryStatement plans a SELECT of any shape over the catalog and pgcache's relations.
func (p *planner) queryStatement(s *pg_query.SelectStmt) (*plan, error) {
	st, err := query.Prepare(p.queryOptions(), s)
	if err != nil {
		return nil, p.refused(err)
	}
	out := &plan{action: &queryAction{st}, ownParams: st.Params}
	for i := range st.Columns {
		out.columns = append(out.columns, wireColumn(&st.Columns[i]))
	}
	return out, nil
}

func (p *planner) queryOptions() query.Options {
	h := p.handler
	return query.Options{Catalog: h.catalog, SearchPath: p.path, Names: p.names, ParamOIDs: p.declared, NoParams: p.isSimple, Parse: h.parseView}
}

// refused notes the error of a SELECT that is not run and adds what there is instead.
func (p *planner) refused(err error) error {
	p.handler.gaps.note(p.handler.config.Logger, err)
	return withHint(err, selectHint)
}

// withHint adds to the refusal of something what there is instead.
func withHint(err error, hint string) error {
	e, ok := err.(*pgwire.Error)
	switch {
	case !ok:
	case e.Code == pgwire.CodeFeatureNotSupported && e.Hint == "":
		e.Hint = hint
	case e.Code == pgwire.CodeUndefinedFunction:
		called, isFunction := strings.CutPrefix(e.Message, "function ")
		called, _, _ = strings.Cut(called, "(")
		if list := procedures(called); list != nil && isFunction {
			e.Hint = "There is " + list[0].signature() + "."
			break
		}
		best := len(called)/3 + 1
		for _, name := range procedureNames {
			if d := query.Distance(called, name); isFunction && d > 0 && d < best {
				best, e.Hint = d, "Perhaps you meant the function \""+name+"\"."
			}
		}
	}
	return err
}

// parseView parses the text of a view.
func (h *Handler) parseView(sql string) (*pg_query.SelectStmt, error) {
	stmts, err := h.parse(sql)
	if err != nil {
		return nil, err
	}
	if len(stmts) != 1 || stmts[0].Stmt.GetSelectStmt() == nil {
		return nil, pgwire.Errorf(pgwire.CodeInternalError, "a view is not one SELECT")
	}
	return stmts[0].Stmt.GetSelectStmt(), nil
}

func (a *queryAction) run(x *execution) (outcome, error) {
	s := x.session
	env := x.env.Env
	env.Session = &querySession{session: s, portal: x, path: s.own.path}
	env.Style.Names = s.handler.catalog.SessionNames(env.Session)
	x.env.Style.Names = env.Style.Names
	cursor, err := a.statement.Open(&env, x.env.Params, s.handler.config.QueryLimits)
	if err != nil {
		s.handler.gaps.note(s.handler.config.Logger, err)
		return outcome{}, withHint(err, selectHint)
	}
	return outcome{rows: &queryCursor{cursor: cursor, runs: x.runs}}, nil
}

// queryCursor sends the rows of a query.
type queryCursor struct {
	cursor *query.Cursor
	runs   int // of the portal, when the query was last used
}

func (c *queryCursor) next(x *execution, out []types.Value) (bool, error) {
	if c.runs != x.runs {
		c.runs = x.runs
		c.cursor.Resume(x.env.Ctx)
	}
	row, err := c.cursor.Next()
	if err != nil {
		x.session.handler.gaps.note(x.session.handler.config.Logger, err)
		return false, withHint(err, selectHint)
	}
	copy(out, row)
	return row != nil, nil
}

func (c *queryCursor) close() { c.cursor.Close() }

// gapsLoggedMax bounds how many different gaps are logged.
const gapsLoggedMax = 1000

// gaps counts the SELECTs that were refused for something that PostgreSQL has and pgcache
// has not, and logs each such thing once.
type gaps struct {
	count  atomic.Int64
	mu     sync.Mutex
	logged map[string]bool
}

// note counts an error if it tells of a gap.
func (g *gaps) note(log *slog.Logger, err error) {
	var e *pgwire.Error
	if !errors.As(err, &e) {
		return
	}
	switch e.Code {
	case pgwire.CodeFeatureNotSupported, pgwire.CodeUndefinedFunction, pgwire.CodeUndefinedTable:
	default:
		return
	}
	g.count.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.logged[e.Message] || len(g.logged) >= gapsLoggedMax {
		return
	}
	if g.logged == nil {
		g.logged = make(map[string]bool)
	}
	g.logged[e.Message] = true
	log.Info("a query asked for what is not there", "sqlstate", string(e.Code), "message", e.Message)
}
