package query

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// argsMax is PostgreSQL's FUNC_MAX_ARGS.
const argsMax = 100

// overload is a function as a candidate for a call.
type overload struct {
	function *schema.Function
	declared []types.OID // for each argument of the call
	order    []int       // the position of each argument in the declaration
	expands  bool        // the last argument gathers the rest of the call's
	missing  int         // arguments left to their defaults
}

// call is a function call while it is analyzed.
type call struct {
	*pg_query.FuncCall
	names    []string
	args     []expr
	argNames []string
	actual   []types.OID
}

func (c *call) name() string { return c.names[len(c.names)-1] }

func (a *analyzer) funcCall(k *pg_query.FuncCall) (expr, error) {
	c := &call{FuncCall: k, names: Names(k.Funcname)}
	if len(k.Args) > argsMax {
		return nil, errorAt(k.Location, pgwire.CodeTooManyArguments, "cannot pass more than %d arguments to a function", argsMax)
	}
	if err := a.callArguments(c); err != nil {
		return nil, err
	}
	f, err := a.chooseFunction(c)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return a.functionCast(c)
	}
	switch {
	case f.function.Kind == 'a' && k.Over == nil:
		return a.aggregate(c, f)
	case f.function.Kind == 'a' || f.function.Kind == 'w':
		return a.windowCall(c, f)
	case f.function.Kind == 'p':
		e := errorAt(k.Location, pgwire.CodeWrongObjectType, "%s(%s) is a procedure", c.name(), a.typeList(c.actual))
		e.Hint = "To call a procedure, use CALL."
		return nil, e
	}
	if err := refuseDecoration(c); err != nil {
		return nil, err
	}
	return a.plainCall(c, f)
}

func refuseDecoration(c *call) error {
	what := ""
	switch {
	case c.AggStar:
		what = "%s(*) specified, but %s is not an aggregate function"
	case c.AggDistinct:
		what = "DISTINCT specified, but %s is not an aggregate function"
	case c.AggWithinGroup:
		what = "WITHIN GROUP specified, but %s is not an aggregate function"
	case len(c.AggOrder) > 0:
		what = "ORDER BY specified, but %s is not an aggregate function"
	case c.AggFilter != nil:
		what = "FILTER specified, but %s is not an aggregate function"
	case c.Over != nil:
		what = "OVER specified, but %s is not a window function nor an aggregate function"
	default:
		return nil
	}
	return errorAt(c.Location, pgwire.CodeWrongObjectType, "%s", strings.ReplaceAll(what, "%s", c.name()))
}

// callArguments analyzes the arguments; those of WITHIN GROUP come last.
func (a *analyzer) callArguments(c *call) error {
	for _, n := range c.Args {
		name := ""
		if named := n.GetNamedArgExpr(); named != nil {
			name, n = named.Name, named.Arg
		} else if len(c.argNames) > 0 && c.argNames[len(c.argNames)-1] != "" {
			return errorAt(c.Location, pgwire.CodeSyntaxError, "positional argument cannot follow named argument")
		}
		e, err := a.expr(n)
		if err != nil {
			return err
		}
		if p, ok := e.(*paramExpr); ok && p.oid == types.Void {
			continue // no argument: so pgJDBC marks where the result belongs
		}
		c.args, c.argNames = append(c.args, e), append(c.argNames, name)
	}
	if c.AggWithinGroup {
		for _, n := range c.AggOrder {
			e, err := a.expr(n.GetSortBy().Node)
			if err != nil {
				return err
			}
			c.args, c.argNames = append(c.args, e), append(c.argNames, "")
		}
	}
	for _, e := range c.args {
		c.actual = append(c.actual, e.info().oid)
	}
	return nil
}

// chooseFunction finds the overload; nil if the call is a cast written as a function.
func (a *analyzer) chooseFunction(c *call) (*overload, error) {
	list, anyName := a.overloads(c)
	for i := range list {
		if slices.Equal(list[i].declared, c.actual) {
			return &list[i], nil
		}
	}
	if a.isFunctionCast(c) {
		return nil, nil
	}
	candidates := make([]candidate, len(list))
	for i := range list {
		candidates[i] = candidate{args: list[i].declared, index: i}
	}
	matched := a.matching(c.actual, candidates)
	switch len(matched) {
	case 0:
		return nil, a.undefinedFunction(c, anyName)
	case 1:
		return &list[matched[0].index], nil
	}
	if best, ok := a.selectCandidate(c.actual, matched); ok {
		return &list[best.index], nil
	}
	e := errorAt(c.Location, pgwire.CodeAmbiguousFunction, "function %s(%s) is not unique", strings.Join(c.names, "."), a.argumentList(c))
	e.Hint = "Could not choose a best candidate function. You might need to add explicit type casts."
	return nil, e
}

// overloads are the functions of the name that take this many arguments.
func (a *analyzer) overloads(c *call) (out []overload, anyName bool) {
	schemas := a.path
	if len(c.names) > 1 {
		schemas = c.names[len(c.names)-2 : len(c.names)-1]
	}
	for _, s := range schemas {
		for _, f := range a.catalog.Functions(s, c.name()) {
			anyName = true
			o, ok := placeArguments(f, c)
			if !ok {
				continue
			}
			// A function that takes the arguments as they are hides one that gathers them,
			// and one found earlier in the path hides the same in a later schema.
			if i := slices.IndexFunc(out, func(p overload) bool { return slices.Equal(p.declared, o.declared) }); i >= 0 {
				if out[i].expands && !o.expands {
					out[i] = o
				}
				continue
			}
			out = append(out, o)
		}
	}
	return out, anyName
}

// placeArguments fits a call's arguments to a declaration.
func placeArguments(f *schema.Function, c *call) (overload, bool) {
	o := overload{function: f}
	n, want := len(c.args), len(f.Args)
	if c.AggStar {
		return o, want == 0 && f.Kind == 'a'
	}
	hasNames := slices.ContainsFunc(c.argNames, func(name string) bool { return name != "" })
	if hasNames {
		return placeNamed(o, c)
	}
	if f.Variadic != 0 && !c.FuncVariadic && n >= want-1 && (n >= want || len(f.Defaults) > 0 || f.Variadic == typeAny && n >= want) {
		o.declared = append(o.declared, f.Args[:want-1]...)
		for range n - want + 1 {
			o.declared = append(o.declared, f.Variadic)
		}
		o.expands = f.Variadic != typeAny
		return o, n >= want
	}
	if c.FuncVariadic && (f.Variadic == 0 || n != want) || n > want || n < want-len(f.Defaults) {
		return o, false
	}
	o.declared, o.missing = f.Args[:n:n], want-n
	return o, true
}

// placeNamed fits arguments in named notation.
func placeNamed(o overload, c *call) (overload, bool) {
	f := o.function
	taken := make([]bool, len(f.Args))
	if len(c.args) > len(f.Args) || f.Variadic != 0 && !c.FuncVariadic {
		return o, false
	}
	for i, name := range c.argNames {
		at := i
		if name != "" {
			at = slices.Index(f.ArgNames, name)
		}
		if at < 0 || at >= len(f.Args) || taken[at] {
			return o, false
		}
		taken[at] = true
		o.order = append(o.order, at)
		o.declared = append(o.declared, f.Args[at])
	}
	for i := range taken {
		if !taken[i] && i < len(f.Args)-len(f.Defaults) {
			return o, false
		}
	}
	return o, true
}

// isFunctionCast reports a call like text(x), which is a cast unless there is such a function.
func (a *analyzer) isFunctionCast(c *call) bool {
	if len(c.args) != 1 || c.argNames[0] != "" || c.AggStar || c.AggDistinct || c.Over != nil || c.FuncVariadic || c.AggFilter != nil {
		return false
	}
	t := a.findType(c.names)
	if t == nil || t.Kind == 'p' {
		return false
	}
	if c.actual[0] == types.Unknown {
		return true
	}
	p := a.findPathway(t.OID, c.actual[0], types.Explicit)
	return p.ok && (p.method == castRelabel || p.method == castText && !(a.isComposite(c.actual[0]) || c.actual[0] == typeRecord))
}

func (a *analyzer) functionCast(c *call) (expr, error) {
	return a.coerce(c.args[0], a.findType(c.names).OID, -1, types.Explicit)
}

func (a *analyzer) typeList(oids []types.OID) string {
	names := make([]string, len(oids))
	for i, oid := range oids {
		names[i] = a.typeName(oid)
	}
	return strings.Join(names, ", ")
}

// argumentList shows a call's arguments as messages do.
func (a *analyzer) argumentList(c *call) string {
	parts := make([]string, len(c.args))
	for i, oid := range c.actual {
		if parts[i] = a.typeName(oid); c.argNames[i] != "" {
			parts[i] = c.argNames[i] + " => " + parts[i]
		}
	}
	return strings.Join(parts, ", ")
}

func (a *analyzer) undefinedFunction(c *call, anyName bool) error {
	full := strings.Join(c.names, ".")
	if len(c.names) > 1 && !a.catalog.HasSchema(c.names[len(c.names)-2]) {
		return errorAt(c.Location, pgwire.CodeInvalidSchemaName, "schema \"%s\" does not exist", c.names[len(c.names)-2])
	}
	e := errorAt(c.Location, pgwire.CodeUndefinedFunction, "function %s(%s) does not exist", full, a.argumentList(c))
	e.Hint = "No function matches the given name and argument types. You might need to add explicit type casts."
	if anyName && len(c.args) == 0 && c.AggStar {
		e.Hint = ""
	}
	return e
}

// bound is a call's arguments, converted and in the order of the declaration.
type bound struct {
	args     []expr
	types    []types.OID
	returns  types.OID
	gathered int
	element  types.OID
}

// bind converts the arguments and fills in defaults.
func (a *analyzer) bind(c *call, f *overload) (bound, error) {
	fn := f.function
	resolved, returns, err := a.resolveGenerics(c.actual, f.declared, fn.Returns)
	if err != nil {
		return bound{}, AtOffset(err, c.Location)
	}
	out := bound{returns: returns, gathered: -1}
	args := make([]expr, len(c.args))
	for i, e := range c.args {
		if args[i], err = a.argument(e, resolved[i]); err != nil {
			return bound{}, err
		}
		if args[i].info().oid == types.Unknown { // of VARIADIC "any"
			if args[i], err = a.known(args[i]); err != nil {
				return bound{}, err
			}
			if fn.Name == "pg_typeof" {
				resolved[i] = types.Unknown
			}
		}
		if resolved[i] == typeAny || resolved[i] == typeAnyArray {
			resolved[i] = args[i].info().oid
		}
	}
	if f.order == nil {
		out.args, out.types = args, resolved
		for i := len(args); i < len(fn.Args) && f.missing > 0; i++ {
			out.addDefault(fn, i, c.Location)
		}
	} else {
		for i := range fn.Args {
			if at := slices.Index(f.order, i); at >= 0 {
				out.args, out.types = append(out.args, args[at]), append(out.types, resolved[at])
			} else {
				out.addDefault(fn, i, c.Location)
			}
		}
	}
	if f.expands {
		out.gathered = len(args) - len(fn.Args) + 1
		out.element = resolved[len(resolved)-1]
	}
	return out, nil
}

func (b *bound) addDefault(fn *schema.Function, i int, at int32) {
	v := fn.Defaults[i-(len(fn.Args)-len(fn.Defaults))]
	b.args = append(b.args, constantOf(fn.Args[i], v, at))
	b.types = append(b.types, fn.Args[i])
}

// plainCall is a call of a function that is no aggregate.
func (a *analyzer) plainCall(c *call, f *overload) (expr, error) {
	b, err := a.bind(c, f)
	if err != nil {
		return nil, err
	}
	fn := f.function
	out := &callExpr{typing: typing{oid: b.returns, typmod: -1, at: c.Location}, function: fn, args: b.args, argTypes: b.types,
		gathered: b.gathered, element: b.element, spread: c.FuncVariadic && fn.Variadic == typeAny}
	if fn.Implementation == nil || fn.Implementation.Call == nil && fn.Implementation.Rows == nil {
		return nil, unsupported(c.Location, "function "+strings.Join(c.names, ".")+"("+a.argumentList(c)+") is")
	}
	if out.oid == typeRecord {
		out.typing.fields = a.resultFields(fn, b)
	}
	if fn.ReturnsSet {
		return out, a.checkSetAllowed(out, c)
	}
	return out, nil
}

// resultFields are the columns of a function that returns record, polymorphic ones resolved.
func (a *analyzer) resultFields(fn *schema.Function, b bound) []schema.Column {
	if len(fn.Outs) == 0 {
		return nil
	}
	out := slices.Clone(fn.Outs)
	for i := range out {
		if isPolymorphic(out[i].Type) {
			element, compatible, _ := a.inferGenerics(b.types, fn.Args)
			if oid, err := a.concrete(out[i].Type, element, compatible); err == nil {
				out[i].Type = oid
			}
		}
	}
	return out
}

func (a *analyzer) checkSetAllowed(e *callExpr, c *call) error {
	switch p := a.scope.place; p {
	case placeSelect, placeFrom, placeOrderBy, placeGroupBy:
		return nil
	default:
		return errorAt(c.Location, pgwire.CodeFeatureNotSupported, "set-returning functions are not allowed in %s", p)
	}
}

// aggregate is a call of an aggregate.
func (a *analyzer) aggregate(c *call, f *overload) (expr, error) {
	fn := f.function
	switch {
	case fn.AggregateKind == 'n' && c.AggWithinGroup:
		return nil, errorAt(c.Location, pgwire.CodeWrongObjectType, "%s is not an ordered-set aggregate, so it cannot have WITHIN GROUP", c.name())
	case fn.AggregateKind != 'n' && !c.AggWithinGroup:
		return nil, errorAt(c.Location, pgwire.CodeWrongObjectType, "WITHIN GROUP is required for ordered-set aggregate %s", c.name())
	case !c.AggStar && len(c.args) == 0 && fn.AggregateKind == 'n':
		return nil, errorAt(c.Location, pgwire.CodeWrongObjectType, "%s(*) must be used to call a parameterless aggregate function", c.name())
	case fn.Implementation == nil || fn.Implementation.Aggregate == nil:
		return nil, unsupported(c.Location, "aggregate function "+c.name()+"("+a.argumentList(c)+") is")
	}
	b, err := a.bind(c, f)
	if err != nil {
		return nil, err
	}
	out := &aggregateExpr{typing: typing{oid: b.returns, typmod: -1, at: c.Location}, function: fn, args: b.args, argTypes: b.types,
		distinct: c.AggDistinct, star: c.AggStar, spread: c.FuncVariadic}
	if b.gathered >= 0 {
		return nil, unsupported(c.Location, "a variadic aggregate is")
	}
	if c.AggWithinGroup {
		out.direct, out.args = b.args[:len(b.args)-len(c.AggOrder)], b.args[len(b.args)-len(c.AggOrder):]
	}
	if err := a.aggregateClauses(c, out); err != nil {
		return nil, err
	}
	return out, a.placeAggregate(c, out)
}

// aggregateClauses analyzes ORDER BY and FILTER.
func (a *analyzer) aggregateClauses(c *call, out *aggregateExpr) error {
	for i, n := range c.AggOrder {
		by := n.GetSortBy()
		var e expr
		var err error
		if c.AggWithinGroup {
			e = out.args[i]
		} else if e, err = a.knownExpr(by.Node); err != nil {
			return err
		}
		descending, nullsFirst, err := a.direction(by, e)
		if err != nil {
			return err
		}
		if out.distinct && !slices.ContainsFunc(out.args, func(arg expr) bool { return same(arg, e) }) {
			return errorAt(location(e), pgwire.CodeInvalidColumnReference, "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list")
		}
		out.order = append(out.order, orderKey{expr: e, descending: descending, nullsFirst: nullsFirst})
	}
	if out.distinct {
		for _, e := range out.args {
			if err := a.checkDistinct(e); err != nil {
				return err
			}
		}
	}
	if c.AggFilter != nil {
		var err error
		out.filter, err = a.conditionAt(c.AggFilter, placeFilter, "FILTER")
		return err
	}
	return nil
}

// placeAggregate finds the block that an aggregate belongs to: the innermost one that its
// arguments take columns of.
func (a *analyzer) placeAggregate(c *call, out *aggregateExpr) error {
	level := -1
	nested := int32(-1)
	e := expr(out)
	for _, p := range e.children() {
		visit(p, 0, func(p *expr, depth int) bool {
			switch x := (*p).(type) {
			case *columnExpr:
				if x.level >= depth && (level < 0 || x.level-depth < level) {
					level = x.level - depth
				}
			case *aggregateExpr:
				if x.level == depth && nested < 0 {
					nested = x.at
				}
			case *windowExpr:
				if depth == 0 && nested < 0 {
					nested = x.at
				}
			}
			return true
		})
	}
	out.level = max(level, 0)
	if nested >= 0 {
		return errorAt(nested, pgwire.CodeGroupingError, "aggregate function calls cannot be nested")
	}
	for _, arg := range out.args {
		if hasSet(arg) {
			return errorAt(c.Location, pgwire.CodeFeatureNotSupported, "aggregate function calls cannot contain set-returning function calls")
		}
	}
	s := a.scopeAt(out.level)
	switch s.place {
	case placeWhere, placeOn, placeGroupBy, placeFrom, placeValues, placeFilter, placeLimit,
		placeUpdate, placeReturning, placeCall, placeExecute:
		return errorAt(c.Location, pgwire.CodeGroupingError, "aggregate functions are not allowed in %s", s.place)
	}
	s.hasAggregates = true
	return nil
}
