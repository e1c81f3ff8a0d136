package sqlmap

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// blobWhere is a WHERE clause on blob, taken apart: which keys, and what else must hold.
type blobWhere struct {
	ns *query.Expression // text

	// At most one of these says which keys.
	key     *query.Expression   // text: key = …
	keys    []*query.Expression // text: key IN (…)
	keyList *query.Expression   // text[]: key = ANY (…)

	// rest are all other conditions, those below included.
	rest []*query.Expression
	// Conditions that name many keys, if they stand alone beside ns.
	prefix       *query.Expression // text: key LIKE pattern
	tags         *query.Expression // text[]: tags && …
	dependencies *query.Expression // text[]: dependencies && …

	// Conditions that narrow a scan.
	bounds     []keyBound
	startsWith *query.Expression // text
	// keyTests are the conditions on keys, to be tested if keys are not read one by one.
	keyTests []*query.Expression
}

// namesKeys reports that the entries are given by namespace and keys.
func (w *blobWhere) namesKeys() bool { return w.ns != nil && w.hasKeys() }

// filter is what has to be tested on each row; nil for nothing.
func (w *blobWhere) filter() *query.Expression {
	if w.namesKeys() {
		return query.And(w.rest)
	}
	return query.And(slices.Concat(w.keyTests, w.rest))
}

func (w *blobWhere) hasKeys() bool { return w.key != nil || w.keys != nil || w.keyList != nil }

// isNarrowerThan reports that a condition more narrows a scan.
func (w *blobWhere) isNarrowerThan(before *blobWhere) bool {
	return w.prefix != before.prefix || w.startsWith != before.startsWith || w.tags != before.tags ||
		w.dependencies != before.dependencies || len(w.bounds) != len(before.bounds)
}

// where takes apart a WHERE clause, whose relation is the compiler's first.
func (p *planner) where(n *pg_query.Node) (*blobWhere, error) {
	w := &blobWhere{}
	if n == nil {
		return w, nil
	}
	for _, conjunct := range conjuncts(n) {
		x, err := p.compiler.Condition(conjunct, "WHERE")
		if err != nil {
			return nil, err
		}
		// Compiled once more, by its parts: parameters have their types by now.
		before := *w
		taken, err := p.takeCondition(w, conjunct, x)
		switch {
		case err != nil:
			return nil, err
		case !taken:
			w.rest = append(w.rest, x)
		case w.hasKeys() != before.hasKeys():
			w.keyTests = append(w.keyTests, x)
		}
		p.conditions.note(conjunct, taken || w.isNarrowerThan(&before))
	}
	return w, nil
}

// conjuncts are the parts of nested ANDs.
func conjuncts(n *pg_query.Node) []*pg_query.Node {
	b := n.GetBoolExpr()
	if b == nil || b.Boolop != pg_query.BoolExprType_AND_EXPR {
		return []*pg_query.Node{n}
	}
	var list []*pg_query.Node
	for _, arg := range b.Args {
		list = append(list, conjuncts(arg)...)
	}
	return list
}

// takeCondition recognises conditions that say which entries are meant. It reports
// whether the condition needs no test any more.
func (p *planner) takeCondition(w *blobWhere, n *pg_query.Node, whole *query.Expression) (bool, error) {
	a := n.GetAExpr()
	if a == nil || len(a.Name) != 1 || a.Lexpr == nil {
		return false, p.takeStartsWith(w, n)
	}
	operator := a.Name[0].GetString_().GetSval()
	switch {
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_OP && operator == "=":
		return p.takeEqual(w, a)
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_IN && operator == "=" && p.isColumn(a.Lexpr, colKey) && !w.hasKeys():
		return p.takeIn(w, a)
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ANY && operator == "=":
		return p.takeAny(w, a)
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_LIKE && operator == "~~" && p.isColumn(a.Lexpr, colKey) && w.prefix == nil:
		pattern, err := p.independent(a.Rexpr, types.Text)
		w.prefix = pattern
		return false, err
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_OP && operator == "&&":
		left, right := a.Lexpr, a.Rexpr
		if !p.isColumn(left, colTags) && !p.isColumn(left, colDependencies) {
			left, right = right, left
		}
		return false, p.takeLabels(w, left, right, types.TextArray)
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_OP && slices.Contains([]string{"<", "<=", ">", ">="}, operator):
		return false, p.takeBound(w, a, operator)
	case a.Kind == pg_query.A_Expr_Kind_AEXPR_BETWEEN:
		return false, p.takeBetween(w, a)
	}
	return false, nil
}

func (p *planner) takeLabels(w *blobWhere, columnNode, labels *pg_query.Node, t types.OID) error {
	var err error
	switch {
	case p.isColumn(columnNode, colTags) && w.tags == nil:
		w.tags, err = p.independent(labels, t)
	case p.isColumn(columnNode, colDependencies) && w.dependencies == nil:
		w.dependencies, err = p.independent(labels, t)
	}
	return err
}

// isColumn tells whether a node is this column of blob, cast or not.
func (p *planner) isColumn(n *pg_query.Node, column int) bool {
	for n.GetTypeCast() != nil {
		oid, err := p.compiler.TypeOf(n.GetTypeCast().TypeName)
		if err != nil || !oid.IsText() {
			return false
		}
		n = n.GetTypeCast().Arg
	}
	if n.GetColumnRef() == nil {
		return false
	}
	used := p.compiler.Used
	x, err := p.compiler.Compile(n)
	p.compiler.Used = used
	return err == nil && x.Column() == column
}

// independent compiles an expression that is the same for all rows; nil if it is not.
func (p *planner) independent(n *pg_query.Node, t types.OID) (*query.Expression, error) {
	x, err := p.compiler.Compile(n)
	if err != nil || x.UsesRow() || x.IsVolatile() {
		return nil, err
	}
	return p.compiler.TryCoerce(x, t, types.Implicit)
}

func (p *planner) takeEqual(w *blobWhere, a *pg_query.A_Expr) (bool, error) {
	for _, sides := range [][2]*pg_query.Node{{a.Lexpr, a.Rexpr}, {a.Rexpr, a.Lexpr}} {
		isNS, isKey := p.isColumn(sides[0], colNS) && w.ns == nil, p.isColumn(sides[0], colKey) && !w.hasKeys()
		if !isNS && !isKey {
			continue
		}
		x, err := p.independent(sides[1], types.Text)
		if x == nil || err != nil {
			return false, err
		}
		if isNS {
			w.ns = x
		} else {
			w.key = x
		}
		return true, nil
	}
	return false, nil
}

func (p *planner) takeIn(w *blobWhere, a *pg_query.A_Expr) (bool, error) {
	var keys []*query.Expression
	for _, item := range a.Rexpr.GetList().GetItems() {
		x, err := p.independent(item, types.Text)
		if x == nil || err != nil {
			return false, err
		}
		keys = append(keys, x)
	}
	w.keys = keys
	return keys != nil, nil
}

func (p *planner) takeAny(w *blobWhere, a *pg_query.A_Expr) (bool, error) {
	if p.isColumn(a.Lexpr, colKey) && !w.hasKeys() {
		x, err := p.independent(a.Rexpr, types.TextArray)
		w.keyList = x
		return x != nil, err
	}
	// 't' = ANY (tags) is tags && ARRAY['t'].
	if !p.isColumn(a.Rexpr, colTags) && !p.isColumn(a.Rexpr, colDependencies) {
		return false, nil
	}
	label, err := p.independent(a.Lexpr, types.Text)
	if label == nil || err != nil {
		return false, err
	}
	list := query.ArrayOfOne(label)
	switch {
	case p.isColumn(a.Rexpr, colTags) && w.tags == nil:
		w.tags = list
	case p.isColumn(a.Rexpr, colDependencies) && w.dependencies == nil:
		w.dependencies = list
	}
	return false, nil
}

// evalText evaluates an expression of type text; nil for NULL.
func evalText(x *execution, e *query.Expression) ([]byte, error) {
	v, err := e.Eval(&x.env)
	if err != nil || v.IsNull {
		return nil, err
	}
	if v.Bytes == nil {
		return []byte{}, nil
	}
	return v.Bytes, nil
}

// evalTexts evaluates an expression of type text[], without its NULLs.
func evalTexts(x *execution, e *query.Expression) ([]string, error) {
	v, err := e.Eval(&x.env)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(v.Elems))
	for _, t := range v.Elems {
		if !t.IsNull {
			texts = append(texts, t.Text())
		}
	}
	return texts, nil
}

// keySet are the keys that a statement names, each once, in the order of the statement.
type keySet struct {
	ns    []byte
	names [][]byte
}

// evalKeys evaluates which keys are meant. Without a namespace or with NULLs it is none.
func (w *blobWhere) evalKeys(x *execution) (keySet, error) {
	var set keySet
	var err error
	if set.ns, err = evalText(x, w.ns); err != nil || set.ns == nil {
		return set, err
	}
	if err := x.session.grants.checkNamespace(set.ns); err != nil {
		return set, err
	}
	set.names, err = w.evalNames(x)
	return set, err
}

// evalNames evaluates the keys that are named, each once.
func (w *blobWhere) evalNames(x *execution) ([][]byte, error) {
	exprs := w.keys
	if w.key != nil {
		exprs = []*query.Expression{w.key}
	}
	var names [][]byte
	seen := map[string]struct{}{}
	add := func(name []byte) {
		if _, twice := seen[string(name)]; !twice && name != nil {
			if len(exprs) != 1 {
				seen[string(name)] = struct{}{}
			}
			names = append(names, name)
		}
	}
	for _, e := range exprs {
		name, err := evalText(x, e)
		if err != nil {
			return nil, err
		}
		add(name)
	}
	if w.keyList != nil {
		list, err := w.keyList.Eval(&x.env)
		if err != nil {
			return nil, err
		}
		for _, v := range list.Elems {
			if !v.IsNull {
				add(append([]byte{}, v.Bytes...))
			}
		}
	}
	return names, nil
}

func (s *keySet) key(i int) cache.Key { return cache.Key{Namespace: s.ns, Name: s.names[i]} }

// holds tests the conditions that are left on a row.
func (w *blobWhere) holds(e *query.Env, filter *query.Expression) (bool, error) {
	if filter == nil {
		return true, nil
	}
	v, err := filter.Eval(e)
	return v.IsTrue(), err
}
