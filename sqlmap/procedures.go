package sqlmap

import (
	"errors"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// function is one overload of a function that pgcache has itself.
type function struct {
	Name string
	Args []types.OID
	// ArgNames are needed for named notation only.
	ArgNames []string
	// Optional is how many of the last arguments may be left out; they are then NULL.
	Optional int
	// IsVariadic says that the last argument, an array, may be written as any number of
	// elements.
	IsVariadic bool
	Returns    types.OID
	// Outs are the columns of a function that returns a record.
	Outs []types.Field
	// OnNull calls the function with NULL arguments, too; else the result is NULL.
	OnNull bool
	// IsVolatile functions have effects or give another result each time.
	IsVolatile bool
	Call       func(c *schema.Call, args []types.Value) (types.Value, error)
}

// signature is how messages show the function.
func (f *function) signature() string {
	parts := make([]string, len(f.Args))
	for i, t := range f.Args {
		if i < len(f.ArgNames) {
			parts[i] = f.ArgNames[i] + " "
		}
		parts[i] += t.String()
		if f.IsVariadic && i == len(f.Args)-1 {
			parts[i] = "VARIADIC " + parts[i]
		}
		if i >= len(f.Args)-f.Optional {
			parts[i] = "[" + parts[i] + "]"
		}
	}
	return f.Name + "(" + strings.Join(parts, ", ") + ")"
}

// functions finds the functions that need a session: the cache's procedures and those
// that ask about the session. The rest are in package library.
func functions(name string) []function {
	if list := procedures(name); list != nil {
		return list
	}
	return sessionFunctions(name)
}

// outColumn is the OUT column of a procedure that returns one value; that of a function
// has its name.
func outColumn(f *function) string {
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
func procedure(f function, run func(s *session, e *schema.Call, args []types.Value) (types.Value, error)) []function {
	f.IsVolatile, f.OnNull = true, true
	f.Call = func(e *schema.Call, args []types.Value) (types.Value, error) {
		s := sessionOf(e.Env)
		if err := s.checkWritable(f.Name + "()"); err != nil {
			return types.Value{}, err
		}
		v, err := run(s, e, args)
		return v, wireError(err)
	}
	return []function{f}
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

func procedures(name string) []function {
	text, texts := types.Text, types.TextArray
	counted := func(n int64, err error) (types.Value, error) { return types.OfInt(n), err }
	switch name {
	case "invalidate_key":
		return procedure(function{Name: name, Args: []types.OID{text, text}, ArgNames: []string{"ns", "key"}, Returns: types.Int8},
			func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns", "key")
				if err != nil {
					return types.Value{}, err
				}
				removed, err := s.invalidateKey(e.Ctx, cache.Key{Namespace: a[0], Name: a[1]})
				return types.OfBool(removed), err // an int8: 1 or 0
			})
	case "invalidate_prefix":
		return procedure(function{Name: name, Args: []types.OID{text, text}, ArgNames: []string{"ns", "prefix"}, Returns: types.Int8},
			func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns", "prefix")
				if err != nil {
					return types.Value{}, err
				}
				return counted(s.invalidatePrefix(e.Ctx, a[0], a[1]))
			})
	case "invalidate_tags":
		return procedure(function{Name: name, Args: []types.OID{text, texts}, ArgNames: []string{"ns", "tags"}, IsVariadic: true, Returns: types.Int8},
			func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
				a, err := textArguments(name, args, "ns")
				if err != nil {
					return types.Value{}, err
				}
				return counted(s.invalidateTags(e.Ctx, a[0], textElements(args[1])))
			})
	case "invalidate_dependencies":
		return procedure(function{Name: name, Args: []types.OID{text, texts}, ArgNames: []string{"ns", "dependencies"}, IsVariadic: true, Returns: types.Int8},
			func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
				var ns []byte // NULL: all namespaces
				if !args[0].IsNull {
					ns = append([]byte{}, args[0].Bytes...)
				}
				return counted(s.invalidateDependencies(e.Ctx, ns, textElements(args[1])))
			})
	case "invalidate_namespace":
		return procedure(function{Name: name, Args: []types.OID{text}, ArgNames: []string{"ns"}, Returns: types.Bool},
			func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
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
	p.compiler.Place = query.InCall
	x, err := p.compiler.Compile(&pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: s.Funccall}})
	if err != nil {
		return nil, asProcedure(withHint(err, expressionHint))
	}
	f := x.Function()
	if f == nil || procedures(f.Name) == nil {
		names := query.Names(s.Funccall.Funcname)
		e := pgwire.Errorf(pgwire.CodeWrongObjectType, "%s is not a procedure", names[len(names)-1])
		e.Hint = "To call a function, use SELECT."
		return nil, query.AtOffset(e, s.Funccall.Location)
	}
	var columns []pgwire.Column
	for _, out := range outColumns(f) {
		columns = append(columns, column(out.Name, out.Type))
	}
	isRecord := f.Returns == types.Record
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

// outColumns are the OUT columns of a procedure; the one of a function has its name.
func outColumns(f *schema.Function) []schema.Column {
	if len(f.Outs) > 0 {
		return f.Outs
	}
	return []schema.Column{{Name: f.Name, Type: f.Returns, Typmod: -1}}
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
