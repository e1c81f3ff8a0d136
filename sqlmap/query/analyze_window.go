package query

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// The bits of frameOptions that the parser sets.
const (
	optionNonDefault = 1 << iota
	optionRange
	optionRows
	optionGroups
	optionBetween
	optionStartUnboundedPreceding
	optionEndUnboundedPreceding
	optionStartUnboundedFollowing
	optionEndUnboundedFollowing
	optionStartCurrentRow
	optionEndCurrentRow
	optionStartOffsetPreceding
	optionEndOffsetPreceding
	optionStartOffsetFollowing
	optionEndOffsetFollowing
	optionExcludeCurrentRow
	optionExcludeGroup
	optionExcludeTies
)

// windowCall is a call with OVER.
func (a *analyzer) windowCall(c *call, f *overload) (expr, error) {
	fn := f.function
	switch {
	case c.Over == nil:
		return nil, errorAt(c.Location, pgwire.CodeWrongObjectType, "window function %s requires an OVER clause", c.name())
	case fn.Kind == 'a' && fn.AggregateKind != 'n' && !c.AggWithinGroup:
		return nil, errorAt(c.Location, pgwire.CodeWrongObjectType, "WITHIN GROUP is required for ordered-set aggregate %s", c.name())
	case fn.Kind == 'a' && fn.AggregateKind != 'n':
		return nil, errorAt(c.Location, pgwire.CodeFeatureNotSupported, "OVER is not supported for ordered-set aggregate %s", c.name())
	case c.AggDistinct:
		return nil, errorAt(c.Location, pgwire.CodeFeatureNotSupported, "DISTINCT is not implemented for window functions")
	case len(c.AggOrder) > 0:
		return nil, errorAt(c.Location, pgwire.CodeFeatureNotSupported, "aggregate ORDER BY is not implemented for window functions")
	case c.AggFilter != nil && fn.Kind == 'w':
		return nil, errorAt(c.Location, pgwire.CodeFeatureNotSupported, "FILTER is not implemented for non-aggregate window functions")
	case fn.Kind == 'a' && (fn.Implementation == nil || fn.Implementation.Aggregate == nil):
		return nil, unsupported(c.Location, "aggregate function "+c.name()+"("+a.argumentList(c)+") is")
	case fn.Kind == 'w' && !isWindowFunction(fn.Name):
		return nil, unsupported(c.Location, "window function "+c.name()+" is")
	}
	switch p := a.scope.place; p {
	case placeSelect, placeOrderBy:
	default:
		return nil, errorAt(c.Location, pgwire.CodeWindowingError, "window functions are not allowed in %s", p)
	}
	b, err := a.bind(c, f)
	if err != nil {
		return nil, err
	}
	out := &windowExpr{typing: typing{oid: b.returns, typmod: -1, at: c.Location}, function: fn, args: b.args, argTypes: b.types, star: c.AggStar}
	for _, arg := range out.args {
		if anyExpr(arg, func(e expr, depth int) bool { _, is := e.(*windowExpr); return is && depth == 0 }) {
			return nil, errorAt(c.Location, pgwire.CodeWindowingError, "window function calls cannot be nested")
		}
		if hasSet(arg) {
			return nil, errorAt(c.Location, pgwire.CodeFeatureNotSupported, "window function calls cannot contain set-returning function calls")
		}
	}
	if c.AggFilter != nil {
		if out.filter, err = a.conditionAt(c.AggFilter, placeFilter, "FILTER"); err != nil {
			return nil, err
		}
	}
	out.window, err = a.windowOf(c.Over)
	return out, err
}

// windowOf finds or adds the window that OVER names or defines.
func (a *analyzer) windowOf(def *pg_query.WindowDef) (int, error) {
	b := a.scope.block
	if def.Name != "" { // OVER name
		return a.namedWindow(def.Name, def.Location)
	}
	w, err := a.window(def)
	if err != nil {
		return 0, err
	}
	for i := range b.windows {
		if b.windows[i].same(w) {
			return i, nil
		}
	}
	b.windows = append(b.windows, *w)
	return len(b.windows) - 1, nil
}

// namedWindow finds a window of the WINDOW clause, analyzed when it is first named.
func (a *analyzer) namedWindow(name string, at int32) (int, error) {
	b := a.scope.block
	for i := range b.windows {
		if b.windows[i].name == name {
			return i, nil
		}
	}
	for _, def := range a.scope.windowDefs {
		if def.Name != name {
			continue
		}
		w, err := a.window(def)
		if err != nil {
			return 0, err
		}
		w.name = name
		b.windows = append(b.windows, *w)
		return len(b.windows) - 1, nil
	}
	return 0, errorAt(at, pgwire.CodeUndefinedObject, "window \"%s\" does not exist", name)
}

// namedWindows analyzes what of the WINDOW clause no call names, for its errors.
func (a *analyzer) namedWindows(*block) error {
	for i, def := range a.scope.windowDefs {
		if slices.ContainsFunc(a.scope.windowDefs[:i], func(d *pg_query.WindowDef) bool { return d.Name == def.Name }) {
			return errorAt(def.Location, pgwire.CodeWindowingError, "window \"%s\" is already defined", def.Name)
		}
		if _, err := a.namedWindow(def.Name, def.Location); err != nil {
			return err
		}
	}
	return nil
}

func (w *window) same(o *window) bool {
	sameBound := func(x, y frameBound) bool { return x.kind == y.kind && same(x.offset, y.offset) }
	return w.name == "" && w.mode == o.mode && w.exclude == o.exclude && sameBound(w.start, o.start) && sameBound(w.end, o.end) &&
		slices.EqualFunc(w.partition, o.partition, same) &&
		slices.EqualFunc(w.order, o.order, func(x, y orderKey) bool {
			return x.descending == y.descending && x.nullsFirst == y.nullsFirst && same(x.expr, y.expr)
		})
}

// window analyzes a definition.
func (a *analyzer) window(def *pg_query.WindowDef) (*window, error) {
	w := &window{}
	if def.Refname != "" {
		i, err := a.namedWindow(def.Refname, def.Location)
		if err != nil {
			return nil, err
		}
		base := a.scope.block.windows[i]
		switch {
		case len(def.PartitionClause) > 0:
			return nil, errorAt(def.Location, pgwire.CodeWindowingError, "cannot override PARTITION BY clause of window \"%s\"", def.Refname)
		case len(def.OrderClause) > 0 && len(base.order) > 0:
			return nil, errorAt(def.Location, pgwire.CodeWindowingError, "cannot override ORDER BY clause of window \"%s\"", def.Refname)
		case base.hasFrame:
			return nil, errorAt(def.Location, pgwire.CodeWindowingError, "cannot copy window \"%s\" because it has a frame clause", def.Refname)
		}
		w.partition, w.order = slices.Clone(base.partition), slices.Clone(base.order)
	}
	for _, n := range def.PartitionClause {
		e, err := a.windowKey(n)
		if err != nil {
			return nil, err
		}
		w.partition = append(w.partition, e)
	}
	for _, n := range def.OrderClause {
		by := n.GetSortBy()
		e, err := a.windowKey(by.Node)
		if err != nil {
			return nil, err
		}
		descending, nullsFirst, err := a.direction(by, e)
		if err != nil {
			return nil, err
		}
		w.order = append(w.order, orderKey{expr: e, descending: descending, nullsFirst: nullsFirst})
	}
	return w, a.frame(w, def)
}

// windowKey is an item of PARTITION BY or ORDER BY of a window: an expression, never the
// name or number of an output.
func (a *analyzer) windowKey(n *pg_query.Node) (expr, error) {
	e, err := a.at(placeWindow, n)
	if err != nil {
		return nil, err
	}
	return a.known(e)
}

// frame reads the frame clause.
func (a *analyzer) frame(w *window, def *pg_query.WindowDef) error {
	o := int(def.FrameOptions)
	w.hasFrame = o&optionNonDefault != 0
	w.mode = frameRange
	switch {
	case o&optionRows != 0:
		w.mode = frameRows
	case o&optionGroups != 0:
		w.mode = frameGroups
		if len(w.order) == 0 {
			return errorAt(def.Location, pgwire.CodeWindowingError, "GROUPS mode requires an ORDER BY clause")
		}
	}
	w.start.kind = boundOf(o, optionStartUnboundedPreceding, optionStartOffsetPreceding, optionStartCurrentRow, optionStartOffsetFollowing)
	w.end.kind = boundOf(o, optionEndUnboundedPreceding, optionEndOffsetPreceding, optionEndCurrentRow, optionEndOffsetFollowing)
	if !w.hasFrame {
		w.start.kind, w.end.kind = unboundedPreceding, currentRow
	}
	switch {
	case o&optionExcludeCurrentRow != 0:
		w.exclude = excludeCurrent
	case o&optionExcludeGroup != 0:
		w.exclude = excludeGroup
	case o&optionExcludeTies != 0:
		w.exclude = excludeTies
	}
	if err := a.bound(w, &w.start, def.StartOffset); err != nil {
		return err
	}
	return a.bound(w, &w.end, def.EndOffset)
}

func boundOf(o, unbounded, preceding, current, following int) boundKind {
	switch {
	case o&unbounded != 0:
		return unboundedPreceding
	case o&preceding != 0:
		return offsetPreceding
	case o&current != 0:
		return currentRow
	case o&following != 0:
		return offsetFollowing
	}
	return unboundedFollowing
}

// bound analyzes the offset of a frame's end.
func (a *analyzer) bound(w *window, b *frameBound, n *pg_query.Node) error {
	if b.kind != offsetPreceding && b.kind != offsetFollowing {
		return nil
	}
	e, err := a.at(placeWindow, n)
	if err != nil {
		return err
	}
	if w.mode != frameRange {
		b.offset, err = a.coerce(e, types.Int8, -1, types.Assignment)
		return err
	}
	if len(w.order) != 1 {
		return errorAt(location(e), pgwire.CodeWindowingError, "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column")
	}
	key := w.order[0]
	keyType := a.base(key.expr.info().oid)
	offsetType := keyType
	switch keyType {
	case types.Timestamp, types.TimestampTZ, typeDate, typeTime, typeTimeTZ, types.Interval:
		offsetType = types.Interval
	}
	if b.offset, err = a.argument(e, offsetType); err != nil {
		return err
	}
	b.value, b.by = a.operand(keyType, -1), a.operand(offsetType, -1)
	name := "-"
	if (b.kind == offsetFollowing) != key.descending {
		name = "+"
	}
	limit, err := a.operator([]string{name}, b.value, b.by, e.info().at)
	if err == nil {
		b.limit, err = a.coerce(limit, keyType, -1, types.Assignment)
	}
	return err
}

// isWindowFunction reports the window functions that there are.
func isWindowFunction(name string) bool {
	switch name {
	case "row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead", "first_value", "last_value", "nth_value":
		return true
	}
	return false
}
