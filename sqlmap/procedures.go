package sqlmap

import (
	"errors"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/scalar"
	"pgcache/sqlmap/types"
)

// functions finds the functions that need a session: the cache's procedures and those
// that ask about the session. The rest are in package scalar.
func functions(name string) []scalar.Function {
	if list := procedures(name); list != nil {
		return list
	}
	return sessionFunctions(name)
}

// outColumns are the OUT columns of a procedure; the one of a function has its name.
func outColumns(f *scalar.Function) []types.Field {
	if len(f.Outs) > 0 {
		return f.Outs
	}
	return []types.Field{{Name: outColumn(f), Type: f.Returns}}
}

func outColumn(f *scalar.Function) string {
	switch f.Name {
	case "invalidate_key", "invalidate_prefix", "invalidate_tags", "invalidate_dependencies":
		return "invalidated"
	case "invalidate_namespace":
		return "flushed"
	case "cache_put":
		return "inserted"
	case "cache_incr":
		return "value"
	case "cache_release":
		return "released"
	case "cache_touch":
		return "touched"
	}
	return f.Name
}

// procedure makes a function with effects on the cache.
func procedure(f scalar.Function, run func(s *session, e *scalar.Env, args []types.Value) (types.Value, error)) []scalar.Function {
	f.IsVolatile, f.OnNull = true, true
	f.Call = func(e *scalar.Env, args []types.Value) (types.Value, error) {
		s := e.Session.(*session)
		if err := s.checkWritable(f.Name + "()"); err != nil {
			return types.Value{}, err
		}
		v, err := run(s, e, args)
		return v, wireError(err)
	}
	return []scalar.Function{f}
}

// textArguments refuses NULL and returns the bytes of text arguments.
func textArguments(f string, args []types.Value, names ...string) ([][]byte, error) {
	out := make([][]byte, len(names))
	for i, name := range names {
		if args[i].IsNull {
			return nil, pgwire.Errorf(pgwire.CodeNotNullViolation, "argument %s of %s must not be null", name, f)
		}
		out[i] = args[i].Bytes
		if out[i] == nil {
			out[i] = []byte{}
		}
	}
	return out, nil
}

// textElements are the elements of a text[] that are not NULL.
func textElements(v types.Value) []string {
	var texts []string
	for _, e := range v.Elems {
		if !e.IsNull {
			texts = append(texts, e.Text())
		}
	}
	return texts
}

func procedures(name string) []scalar.Function {
	text, texts := types.Text, types.TextArray
	counted := func(n int64, err error) (types.Value, error) { return types.OfInt(n), err }
	switch name {
	case "invalidate_key":
		return procedure(scalar.Function{Name: name, Args: []types.OID{text, text}, ArgNames: []string{"ns", "key"}, Returns: types.Int8},
			func(s *session, e *scalar.Env, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns", "key")
				if err != nil {
					return types.Value{}, err
				}
				removed, err := s.invalidateKey(e.Ctx, cache.Key{Namespace: a[0], Name: a[1]})
				return types.OfBool(removed), err // an int8: 1 or 0
			})
	case "invalidate_prefix":
		return procedure(scalar.Function{Name: name, Args: []types.OID{text, text}, ArgNames: []string{"ns", "prefix"}, Returns: types.Int8},
			func(s *session, e *scalar.Env, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns", "prefix")
				if err != nil {
					return types.Value{}, err
				}
				return counted(s.invalidatePrefix(e.Ctx, a[0], a[1]))
			})
	case "invalidate_tags":
		return procedure(scalar.Function{Name: name, Args: []types.OID{text, texts}, ArgNames: []string{"ns", "tags"}, IsVariadic: true, Returns: types.Int8},
			func(s *session, e *scalar.Env, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns")
				if err != nil {
					return types.Value{}, err
				}
				return counted(s.invalidateTags(e.Ctx, a[0], textElements(args[1])))
			})
	case "invalidate_dependencies":
		return procedure(scalar.Function{Name: name, Args: []types.OID{text, texts}, ArgNames: []string{"ns", "dependencies"}, IsVariadic: true, Returns: types.Int8},
			func(s *session, e *scalar.Env, args []types.Value) (types.Value, error) {
				var ns []byte // NULL: all namespaces
				if !args[0].IsNull {
					ns = append([]byte{}, args[0].Bytes...)
				}
				return counted(s.invalidateDependencies(e.Ctx, ns, textElements(args[1])))
			})
	case "invalidate_namespace":
		return procedure(scalar.Function{Name: name, Args: []types.OID{text}, ArgNames: []string{"ns"}, Returns: types.Bool},
			func(s *session, e *scalar.Env, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns")
				if err != nil {
					return types.Value{}, err
				}
				_, existed, err := s.flushNamespace(e.Ctx, a[0])
				return types.OfBool(existed), err
			})
	case "cache_put":
		return cachePut()
	case "cache_incr":
		return cacheIncr()
	}
	return readProcedures(name)
}

// procedureNames are the functions of schema public. Their order gives them their OIDs:
// new ones go to the end.
var procedureNames = []string{"invalidate_key", "invalidate_prefix", "invalidate_tags", "invalidate_dependencies", "invalidate_namespace",
	"cache_put", "cache_get", "cache_release", "cache_touch", "cache_incr", "cache_exists", "cache_channel", "sweep_expired", "cache_backup"}

// callStatement is CALL: a SELECT of the function with its OUT column.
func (p *planner) callStatement(s *pg_query.CallStmt) (*plan, error) {
	x, f, err := p.compiler.Call(s.Funccall)
	if err != nil {
		return nil, asProcedure(err)
	}
	if procedures(f.Name) == nil {
		e := pgwire.Errorf(pgwire.CodeWrongObjectType, "%s is not a procedure", f.Name)
		e.Hint = "To call a function, use SELECT."
		return nil, scalar.At(e, s.Funccall.Location)
	}
	var columns []pgwire.Column
	for _, out := range outColumns(f) {
		columns = append(columns, column(out.Name, out.Type))
	}
	isRecord := len(f.Outs) > 0
	return &plan{columns: columns, action: actionFunc(func(e *execution) (outcome, error) {
		v, err := x.Eval(&e.env)
		if err != nil {
			return outcome{}, err
		}
		row := []types.Value{v}
		if isRecord {
			row = v.Elems
		}
		return outcome{tag: "CALL", rows: &rowList{[][]types.Value{row}}}, nil
	})}, nil
}

// asProcedure words the error of an unknown function as PostgreSQL does for CALL.
func asProcedure(err error) error {
	var e *pgwire.Error
	if errors.As(err, &e) && e.Code == pgwire.CodeUndefinedFunction {
		e.Message = strings.Replace(e.Message, "function", "procedure", 1)
		e.Hint = strings.Replace(e.Hint, "function", "procedure", 1)
	}
	return err
}
