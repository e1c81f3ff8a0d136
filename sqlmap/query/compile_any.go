package query

import "pgcache/sqlmap/types"

// anyArray compares with the elements of an array one by one, or by a table made once if
// the array is the same for all rows and large.
func (x *execution) anyArray(e *anyArrayExpr) (evaluator, error) {
	evals, err := x.compileAll([]expr{e.left, e.array, e.test})
	if err != nil {
		return nil, err
	}
	l, element, all := x.cell(e.l), x.cell(e.element), e.all
	test, _ := e.test.(*callExpr)
	_, isConst := e.array.(*constExpr)
	if test != nil && isComparison(test) && (isConst || isStable(e.array)) && (test.operator.Name == "=" && !all || test.operator.Name == "<>" && all) {
		return x.hashedAny(e, evals, test.argTypes[0], all), nil
	}
	return func(f *frame) (types.Value, error) {
		left, err := evals[0](f)
		if err != nil {
			return left, err
		}
		array, err := evals[1](f)
		if err != nil || array.IsNull {
			return types.Null(), err
		}
		result := types.OfBool(all)
		for _, v := range array.Elems {
			*l, *element = left, v
			v, err := evals[2](f)
			switch {
			case err != nil:
				return v, err
			case v.IsNull:
				result = types.Null()
			case v.IsTrue() != all:
				return v, nil
			}
		}
		return result, nil
	}, nil
}

// hashedAny is = ANY, or <> ALL, of an array that does not change.
func (x *execution) hashedAny(e *anyArrayExpr, evals []evaluator, oid types.OID, all bool) evaluator {
	var set members
	isNull := false
	made := -1 // in which run
	return func(f *frame) (types.Value, error) {
		left, err := evals[0](f)
		if err != nil {
			return left, err
		}
		if made != x.runs {
			array, err := evals[1](f)
			if err != nil {
				return array, err
			}
			set, isNull, made = newMembers(e.element.oid, len(array.Elems)), array.IsNull, x.runs
			for _, v := range array.Elems {
				set.add(v)
			}
		}
		if isNull {
			return types.Null(), nil
		}
		return set.compare(oid, left, all), nil
	}
}

// members are values that ANY or ALL compares with, as a table for comparisons by =.
type members struct {
	oid     types.OID
	table   map[string]struct{}
	hasNull bool
	key     []byte
}

func newMembers(oid types.OID, n int) members {
	return members{oid: oid, table: make(map[string]struct{}, n)}
}

func (m *members) add(v types.Value) {
	if v.IsNull {
		m.hasNull = true
		return
	}
	m.key = appendKey(m.key[:0], m.oid, v)
	m.table[string(m.key)] = struct{}{}
}

// compare is left = ANY (members), or left <> ALL.
func (m *members) compare(oid types.OID, left types.Value, all bool) types.Value {
	switch {
	case len(m.table) == 0 && !m.hasNull:
		return types.OfBool(all)
	case left.IsNull:
		return types.Null()
	}
	m.key = appendKey(m.key[:0], oid, left)
	if _, ok := m.table[string(m.key)]; ok {
		return types.OfBool(!all)
	}
	if m.hasNull {
		return types.Null()
	}
	return types.OfBool(all)
}
