package query

import (
	"errors"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// pathway is how a value of one type becomes one of another.
type pathway struct {
	ok       bool
	method   castMethod
	function *schema.Function
}

// findPathway is PostgreSQL's find_coercion_pathway.
func (a *analyzer) findPathway(target, source types.OID, context types.Context) pathway {
	source, target = a.base(source), a.base(target)
	if source == target {
		return pathway{ok: true, method: castRelabel}
	}
	if c := a.catalog.Cast(source, target); c != nil {
		if c.Context < context {
			return pathway{}
		}
		switch c.Method {
		case schema.CastBinary:
			return pathway{ok: true, method: castRelabel}
		case schema.CastByText:
			return pathway{ok: true, method: castText}
		}
		return pathway{ok: true, method: castCall, function: c.Function}
	}
	if from, to := a.element(source), a.element(target); from != 0 && to != 0 && !isVector(target) {
		if p := a.findPathway(to, from, context); p.ok {
			if p.method == castRelabel {
				return p
			}
			return pathway{ok: true, method: castArray}
		}
	}
	if target == types.Unknown || source == types.Unknown {
		return pathway{}
	}
	if context <= types.Assignment && a.category(target) == types.CategoryString ||
		context <= types.Explicit && a.category(source) == types.CategoryString {
		return pathway{ok: true, method: castText}
	}
	return pathway{}
}

// canCoerce reports whether arguments of some types suit declared ones.
func (a *analyzer) canCoerce(actual, declared []types.OID, context types.Context) bool {
	hasGenerics := false
	for i, source := range actual {
		target := declared[i]
		switch {
		case source == target, target == typeAny, source == types.Unknown && !isPolymorphic(target):
		case isPolymorphic(target):
			hasGenerics = true
		case a.findPathway(target, source, context).ok:
		case source == typeRecord && a.isComposite(target):
		case target == typeRecord && a.isComposite(source):
		case target == typeRecordArray && a.isComposite(a.element(source)):
		default:
			return false
		}
	}
	if hasGenerics {
		_, _, err := a.inferGenerics(actual, declared)
		return err == nil
	}
	return true
}

// coerce converts e for a context; it fails with 42846 if there is no way.
func (a *analyzer) coerce(e expr, target types.OID, typmod int32, context types.Context) (expr, error) {
	out, err := a.tryCoerce(e, target, context)
	if err != nil {
		return nil, err
	}
	if out == nil {
		return nil, errorAt(location(e), pgwire.CodeCannotCoerce, "cannot cast type %s to %s", a.typeName(e.info().oid), a.typeName(target))
	}
	return a.applyTypmod(out, typmod, context), nil
}

// tryCoerce converts e; nil if there is no way.
func (a *analyzer) tryCoerce(e expr, target types.OID, context types.Context) (expr, error) {
	info := e.info()
	switch {
	case info.oid == target, target == typeAny, isPolymorphic(target) && info.oid != types.Unknown:
		return e, nil
	case info.oid == types.Unknown:
		return a.coerceUnknown(e, target)
	case isPolymorphic(target):
		return e, nil
	}
	p := a.findPathway(target, info.oid, context)
	if !p.ok {
		return a.coerceRow(e, target, context)
	}
	return a.cast(e, target, p, context)
}

// cast applies a pathway.
func (a *analyzer) cast(e expr, target types.OID, p pathway, context types.Context) (expr, error) {
	at := e.info().at
	out := &castExpr{typing: typing{oid: target, typmod: -1, at: at}, arg: e, method: p.method, function: p.function, explicit: context == types.Explicit}
	if a.base(target) == a.base(e.info().oid) {
		out.typmod = e.info().typmod
	}
	if p.method == castCall && p.function == nil {
		return nil, errorAt(at, pgwire.CodeFeatureNotSupported, "cast from %s to %s is not supported", a.typeName(e.info().oid), a.typeName(target))
	}
	if p.method == castArray {
		from, to := a.element(e.info().oid), a.element(target)
		out.element = a.operand(from, at)
		converted, err := a.tryCoerce(out.element, to, context)
		if err != nil {
			return nil, err
		}
		out.convert = converted
	}
	return out, nil
}

// operand makes a place for a value that the expression around it supplies.
func (a *analyzer) operand(oid types.OID, at int32) *operand {
	return &operand{leaf{typing{oid: oid, typmod: -1, at: at}}}
}

// coerceUnknown gives a literal or parameter its type. Literals are read when the statement
// runs if what they mean depends on the session, else now.
func (a *analyzer) coerceUnknown(e expr, target types.OID) (expr, error) {
	info := e.info()
	switch x := e.(type) {
	case *paramExpr:
		return a.params.resolve(x, target, a)
	case *constExpr:
		if isPolymorphic(target) {
			target = types.Text
		}
		if x.value.IsNull {
			return &constExpr{leaf: leaf{typing{oid: target, typmod: -1, at: info.at}}, value: types.Null()}, nil
		}
		return a.literal(x, target)
	}
	if isPolymorphic(target) {
		target = types.Text
	}
	// A column of unknown type, as a subquery can have: read as text when it runs.
	return &castExpr{typing: typing{oid: target, typmod: -1, at: info.at}, arg: e, method: castText}, nil
}

func (a *analyzer) literal(x *constExpr, target types.OID) (expr, error) {
	base := a.base(target)
	if t := a.catalog.Type(base); t == nil || t.Kind == 'p' && base != typeCString && base != types.Void && base != types.Unknown {
		return nil, errorAt(x.at, pgwire.CodeFeatureNotSupported, "cannot accept a value of type %s", a.typeName(target))
	}
	if a.names != nil && isRegType(base) {
		v, err := types.ParseText(base, x.value.Bytes, &types.Style{Names: a.names})
		return constantOf(target, v, x.at), AtOffset(err, x.at)
	}
	if a.dependsOnSession(base) {
		if !isRegType(base) && a.element(base) == 0 && !a.isComposite(base) {
			if err := types.CheckText(base, x.value.Bytes); err != nil {
				return nil, AtOffset(err, x.at) // wrong whatever the session
			}
		}
		return &castExpr{typing: typing{oid: target, typmod: -1, at: x.at}, arg: x, method: castText}, nil
	}
	v, err := types.ParseText(base, x.value.Bytes, nil)
	switch {
	case errors.Is(err, types.ErrNoInput):
		return nil, a.typeUnsupported(target, x.at)
	case err != nil:
		return nil, AtOffset(err, x.at)
	}
	return &constExpr{leaf: leaf{typing{oid: target, typmod: -1, at: x.at}}, value: v}, nil
}

// typeUnsupported is the error for a type that the catalog has and no value.
func (a *analyzer) typeUnsupported(oid types.OID, at int32) error {
	return errorAt(at, pgwire.CodeFeatureNotSupported, "type %s is not supported", a.typeName(oid))
}

// dependsOnSession reports types whose input looks at settings, the time or names.
func (a *analyzer) dependsOnSession(oid types.OID) bool {
	if e := a.element(oid); e != 0 {
		oid = e
	}
	return isOfSession(oid) || a.isComposite(oid)
}

// isOfSession is dependsOnSession of types that are neither arrays nor rows.
func isOfSession(oid types.OID) bool {
	switch oid {
	case types.TimestampTZ, types.Timestamp, typeDate, typeTime, typeTimeTZ, types.Interval:
		return true
	}
	return isRegType(oid)
}

// isRegType reports the types whose values are OIDs shown as names.
func isRegType(oid types.OID) bool {
	switch oid {
	case 24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191:
		return true
	}
	return false
}

// coerceRow converts between record and types of rows; nil if that is not what it is.
func (a *analyzer) coerceRow(e expr, target types.OID, context types.Context) (expr, error) {
	info := e.info()
	isRow := a.isComposite(info.oid) || info.oid == typeRecord
	switch {
	case target == typeRecord && isRow, target == typeRecordArray && a.isComposite(a.element(info.oid)):
		return &castExpr{typing: typing{oid: target, typmod: -1, at: info.at, fields: a.fields(e)}, arg: e, method: castRelabel}, nil
	case info.oid != typeRecord || !a.isComposite(target):
		return nil, nil
	}
	from, to := a.fields(e), a.catalog.Type(a.base(target)).Fields
	if len(from) != len(to) {
		return nil, errorAt(info.at, pgwire.CodeCannotCoerce, "cannot cast type record to %s", a.typeName(target))
	}
	out := &castExpr{typing: typing{oid: target, typmod: -1, at: info.at}, arg: e, method: castRow}
	for i := range from {
		part := a.operand(from[i].Type, info.at)
		converted, err := a.tryCoerce(part, to[i].Type, context)
		if err != nil || converted == nil {
			return nil, err
		}
		out.parts, out.fields = append(out.parts, part), append(out.fields, converted)
	}
	return out, nil
}

// applyTypmod makes a value fit a modifier.
func (a *analyzer) applyTypmod(e expr, typmod int32, context types.Context) expr {
	info := e.info()
	if typmod < 0 || info.typmod == typmod {
		return e
	}
	if c, ok := e.(*castExpr); ok && c.method == castCall && len(c.function.Args) > 1 {
		c.typmod = typmod // the function applies it
		return c
	}
	out := &castExpr{typing: typing{oid: info.oid, typmod: typmod, at: info.at}, arg: e, method: castModify, explicit: context == types.Explicit}
	base := a.base(info.oid)
	if elem := a.element(base); elem != 0 {
		base = elem
	}
	if c := a.catalog.Cast(base, base); c != nil && c.Function != nil && c.Function.Implementation != nil {
		out.function = c.Function
	}
	return out
}

// Bits of the fields in the modifier of an interval.
const (
	intervalYear   = 1 << 2
	intervalMonth  = 1 << 1
	intervalDay    = 1 << 3
	intervalHour   = 1 << 10
	intervalMinute = 1 << 11
	intervalSecond = 1 << 12
)

// withUnit reads a bare number in interval '5' day as being of the last field named.
func withUnit(x *constExpr, typmod int32) *constExpr {
	fields := typmod >> 16 & 0x7fff
	if typmod < 0 || fields == 0x7fff || len(x.value.Bytes) == 0 {
		return x
	}
	if _, err := types.ParseText(types.Numeric, x.value.Bytes, nil); err != nil {
		return x
	}
	unit := "year"
	for _, f := range []struct {
		bit  int32
		name string
	}{{intervalSecond, "second"}, {intervalMinute, "minute"}, {intervalHour, "hour"}, {intervalDay, "day"}, {intervalMonth, "month"}} {
		if fields&f.bit != 0 {
			unit = f.name
			break
		}
	}
	out := *x
	out.value = types.OfText(x.value.Text() + " " + unit)
	return &out
}

// condition coerces to boolean; clause names it in the error.
func (a *analyzer) condition(e expr, clause string) (expr, error) {
	if info := e.info(); info.oid != types.Bool && info.oid != types.Unknown && a.base(info.oid) != types.Bool {
		return nil, errorAt(info.at, pgwire.CodeDatatypeMismatch, "argument of %s must be type boolean, not type %s", clause, a.typeName(info.oid))
	}
	if err := a.checkNoSet(e, clause); err != nil {
		return nil, err
	}
	return a.coerce(e, types.Bool, -1, types.Implicit)
}

func (a *analyzer) checkNoSet(e expr, clause string) error {
	if hasSet(e) {
		return errorAt(location(e), pgwire.CodeDatatypeMismatch, "argument of %s must not return a set", clause)
	}
	return nil
}

// known makes text of what is still unknown, as PostgreSQL does for result columns.
func (a *analyzer) known(e expr) (expr, error) {
	if e.info().oid == types.Unknown {
		return a.coerce(e, types.Text, -1, types.Implicit)
	}
	return e, nil
}

// commonType is PostgreSQL's select_common_type; 0 without an error if noError.
func (a *analyzer) commonType(list []expr, what string) (types.OID, error) {
	first := list[0].info().oid
	if first != types.Unknown && !containsFunc(list, func(e expr) bool { return e.info().oid != first }) {
		return first, nil
	}
	common := a.base(first)
	category, preferred := a.category(common), a.isPreferred(common)
	for _, e := range list[1:] {
		next := a.base(e.info().oid)
		if next == types.Unknown || next == common {
			continue
		}
		nextCategory, nextPreferred := a.category(next), a.isPreferred(next)
		switch {
		case common == types.Unknown:
			common, category, preferred = next, nextCategory, nextPreferred
		case nextCategory != category:
			if what == "" {
				return 0, nil
			}
			return 0, errorAt(location(e), pgwire.CodeDatatypeMismatch, "%s types %s and %s cannot be matched", what, a.typeName(common), a.typeName(next))
		case !preferred && a.canCoerce([]types.OID{common}, []types.OID{next}, types.Implicit) &&
			!a.canCoerce([]types.OID{next}, []types.OID{common}, types.Implicit):
			common, category, preferred = next, nextCategory, nextPreferred
		}
	}
	if common == types.Unknown {
		common = types.Text
	}
	return common, nil
}

func containsFunc(list []expr, f func(e expr) bool) bool {
	for _, e := range list {
		if f(e) {
			return true
		}
	}
	return false
}

// unify converts expressions to their common type.
func (a *analyzer) unify(list []expr, what string) ([]expr, types.OID, error) {
	common, err := a.commonType(list, what)
	if err != nil {
		return nil, 0, err
	}
	out := make([]expr, len(list))
	for i, e := range list {
		if out[i], err = a.toCommon(e, common, what); err != nil {
			return nil, 0, err
		}
	}
	return out, common, nil
}

func (a *analyzer) toCommon(e expr, common types.OID, what string) (expr, error) {
	out, err := a.tryCoerce(e, common, types.Implicit)
	if err == nil && out == nil {
		return nil, errorAt(location(e), pgwire.CodeCannotCoerce, "%s could not convert type %s to %s", what, a.typeName(e.info().oid), a.typeName(common))
	}
	return out, err
}

// commonTypmod is the modifier that all expressions share, -1 if they do not.
func commonTypmod(list []expr) int32 {
	first := list[0].info()
	for _, e := range list[1:] {
		if info := e.info(); info.oid != first.oid || info.typmod != first.typmod {
			return -1
		}
	}
	return first.typmod
}
