package sqlmap

import (
	"context"
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// This file has PREPARE, EXECUTE and DEALLOCATE, which share the names of the protocol's
// prepared statements.

// prepareStatement is PREPARE name (types) AS statement.
func (p *planner) prepareStatement(n *pg_query.PrepareStmt) (*plan, error) {
	declared := make([]uint32, len(n.Argtypes))
	for i, t := range n.Argtypes {
		oid, err := p.compiler.TypeOf(t.GetTypeName())
		if err != nil {
			return nil, err
		}
		declared[i] = uint32(oid)
	}
	inner := &planner{handler: p.handler, sql: p.sql, declared: declared, path: p.path, names: p.names}
	prepared, err := inner.finish(n.Query)
	if err != nil {
		return nil, err
	}
	name, sql := n.Name, p.sql
	return simple(func(x *execution) (outcome, error) {
		s := x.session
		source := pgwire.Source{SQL: sql, At: s.statementTime, FromSQL: true}
		return outcome{tag: "PREPARE"}, s.info.Names.PutStatement(name, s.statementOf(prepared), source)
	}), nil
}

// executeStatement is EXECUTE name (arguments).
type executeStatement struct {
	name string
	args []*pg_query.Node
	sql  string
}

func (e *executeStatement) find(s *session) (*statement, error) {
	named, ok := s.info.Names.Statement(e.name)
	if !ok || e.name == "" {
		return nil, pgwire.Errorf(pgwire.CodeInvalidStatementName, "prepared statement \"%s\" does not exist", e.name)
	}
	prepared, ok := named.(*statement)
	if !ok {
		return nil, unsupported(-1, "EXECUTE of a prepared EXECUTE, FETCH or COPY is", "Execute the statement itself.")
	}
	return prepared, nil
}

func (e *executeStatement) columns(s *session) []pgwire.Column {
	prepared, err := e.find(s)
	if err != nil {
		return nil
	}
	return prepared.Columns()
}

func (e *executeStatement) endsTransaction(s *session) bool {
	prepared, err := e.find(s)
	return err == nil && prepared.EndsTransaction()
}

func (e *executeStatement) bind(ctx context.Context, s *session, args *pgwire.BindArgs) (pgwire.Portal, error) {
	prepared, err := e.find(s)
	if err != nil {
		return nil, err
	}
	s.info.Names.UseStatement(e.name)
	inner := &pgwire.BindArgs{ResultFormats: args.ResultFormats}
	if inner.Params, err = e.arguments(s, prepared); err != nil {
		return nil, position(e.sql, err)
	}
	for range inner.Params {
		inner.ParamFormats = append(inner.ParamFormats, pgwire.Binary)
	}
	return prepared.Bind(ctx, inner, nil)
}

// arguments evaluates the arguments as binary parameters of the prepared statement.
func (e *executeStatement) arguments(s *session, prepared *statement) ([][]byte, error) {
	wanted := prepared.ParamOIDs()
	if len(e.args) != len(wanted) {
		err := pgwire.Errorf(pgwire.CodeSyntaxError, "wrong number of parameters for prepared statement \"%s\"", e.name)
		err.Detail = fmt.Sprintf("Expected %d parameters but got %d.", len(wanted), len(e.args))
		return nil, err
	}
	s.beginStatement(true)
	var env query.Env
	s.env(context.Background(), &env)
	p := &planner{handler: s.handler, path: s.own.path, names: s.own.names, isSimple: true}
	p.newCompiler()
	p.compiler.Place = query.InExecute
	params := make([][]byte, len(wanted))
	for i, n := range e.args {
		x, err := p.compiler.Compile(n)
		if err != nil {
			return nil, err
		}
		to := types.OID(wanted[i])
		cast, err := p.compiler.TryCoerce(x, to, types.Assignment)
		if err != nil {
			return nil, err
		}
		if cast == nil {
			err := pgwire.Errorf(pgwire.CodeDatatypeMismatch, "parameter $%d of type %s cannot be coerced to the expected type %s", i+1, x.Type, to)
			err.Hint = "You will need to rewrite or cast the expression."
			return nil, query.AtOffset(err, x.At)
		}
		v, err := cast.Eval(&env)
		if err != nil {
			return nil, err
		}
		if !v.IsNull {
			params[i] = types.AppendBinary([]byte{}, to, v)
		}
	}
	return params, nil
}

// deallocate is DEALLOCATE; an empty name is ALL.
func deallocate(x *execution, name string) (outcome, error) {
	names := x.session.info.Names
	if name == "" {
		names.DropAllStatements()
		return outcome{tag: "DEALLOCATE ALL"}, nil
	}
	if !names.DropStatement(name) {
		return outcome{}, pgwire.Errorf(pgwire.CodeInvalidStatementName, "prepared statement \"%s\" does not exist", name)
	}
	return outcome{tag: "DEALLOCATE"}, nil
}
