package query

import (
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// candidate is an overload that might be meant; index is its place in the caller's list.
type candidate struct {
	args  []types.OID
	index int
}

// matching keeps the candidates that the arguments can be coerced to.
func (a *analyzer) matching(actual []types.OID, list []candidate) []candidate {
	var out []candidate
	for _, c := range list {
		if a.canCoerce(actual, c.args, types.Implicit) {
			out = append(out, c)
		}
	}
	return out
}

// selectCandidate is PostgreSQL's func_select_candidate: the best of several matching
// overloads; false if there is no best.
func (a *analyzer) selectCandidate(actual []types.OID, list []candidate) (candidate, bool) {
	base := make([]types.OID, len(actual))
	unknowns := 0
	for i, oid := range actual {
		if base[i] = a.base(oid); oid == types.Unknown {
			unknowns++
		}
	}
	list = best(list, func(c candidate) int {
		return count(base, func(i int) bool { return base[i] != types.Unknown && c.args[i] == base[i] })
	})
	if len(list) == 1 {
		return list[0], true
	}
	categories := make([]types.Category, len(base))
	for i := range base {
		categories[i] = a.category(base[i])
	}
	list = best(list, func(c candidate) int {
		return count(base, func(i int) bool {
			return base[i] != types.Unknown && (c.args[i] == base[i] || a.category(c.args[i]) == categories[i] && a.isPreferred(c.args[i]))
		})
	})
	if len(list) == 1 {
		return list[0], true
	}
	if unknowns == 0 {
		return candidate{}, false
	}
	if kept := a.byUnknowns(base, list); len(kept) > 0 {
		list = kept
	}
	if len(list) == 1 {
		return list[0], true
	}
	return a.byKnownType(base, unknowns, list)
}

// best keeps the candidates with the highest score.
func best(list []candidate, score func(c candidate) int) []candidate {
	top := -1
	var out []candidate
	for _, c := range list {
		switch s := score(c); {
		case s > top:
			top, out = s, append(out[:0:0], c)
		case s == top:
			out = append(out, c)
		}
	}
	return out
}

func count(base []types.OID, f func(i int) bool) int {
	n := 0
	for i := range base {
		if f(i) {
			n++
		}
	}
	return n
}

// byUnknowns guesses the category of the unknown arguments: string if any candidate takes
// one there, else the one that all take.
func (a *analyzer) byUnknowns(base []types.OID, list []candidate) []candidate {
	categories := make([]types.Category, len(base))
	hasPreferred := make([]bool, len(base))
	for i := range base {
		if base[i] != types.Unknown {
			continue
		}
		conflict := false
		for _, c := range list {
			category, preferred := a.category(c.args[i]), a.isPreferred(c.args[i])
			switch {
			case categories[i] == 0:
				categories[i], hasPreferred[i] = category, preferred
			case category == categories[i]:
				hasPreferred[i] = hasPreferred[i] || preferred
			case category == types.CategoryString:
				categories[i], hasPreferred[i] = category, preferred
			default:
				conflict = true
			}
		}
		if conflict && categories[i] != types.CategoryString {
			return nil
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(c candidate) bool {
		for i := range base {
			if base[i] == types.Unknown && (a.category(c.args[i]) != categories[i] || hasPreferred[i] && !a.isPreferred(c.args[i])) {
				return true
			}
		}
		return false
	})
}

// byKnownType takes the unknown arguments to have the type that all known ones share.
func (a *analyzer) byKnownType(base []types.OID, unknowns int, list []candidate) (candidate, bool) {
	if unknowns == len(base) {
		return candidate{}, false
	}
	known := types.OID(0)
	for _, oid := range base {
		if oid == types.Unknown {
			continue
		}
		if known != 0 && oid != known {
			return candidate{}, false
		}
		known = oid
	}
	assumed := slices.Repeat([]types.OID{known}, len(base))
	if kept := a.matching(assumed, list); len(kept) == 1 {
		return kept[0], true
	}
	return candidate{}, false
}

// resolveGenerics finds what the polymorphic types of a call stand for: the declared types
// with them replaced, and the result's.
func (a *analyzer) resolveGenerics(actual, declared []types.OID, returns types.OID) ([]types.OID, types.OID, error) {
	element, compatible, err := a.inferGenerics(actual, declared)
	if err != nil {
		return nil, 0, err
	}
	resolved := make([]types.OID, len(declared))
	for i, oid := range declared {
		if resolved[i], err = a.concrete(oid, element, compatible); err != nil {
			return nil, 0, err
		}
		if oid == typeAnyArray && element == 0 && actual[i] != types.Unknown || isPolymorphic(oid) && isVector(actual[i]) {
			resolved[i] = actual[i]
		}
	}
	if returns != 0 {
		if returns, err = a.concrete(returns, element, compatible); err != nil {
			return nil, 0, err
		}
	}
	return resolved, returns, nil
}

// inferGenerics finds the element types that anyelement and anycompatible stand for.
func (a *analyzer) inferGenerics(actual, declared []types.OID) (element, compatible types.OID, err error) {
	var compatibles []expr
	hasCompatible := false
	set := func(oid types.OID) error {
		if element != 0 && element != oid {
			return pgwire.Errorf(pgwire.CodeDatatypeMismatch, "arguments declared \"anyelement\" are not all alike")
		}
		element = oid
		return nil
	}
	for i, want := range declared {
		got := actual[i]
		hasCompatible = hasCompatible || isCompatible(want)
		if !isPolymorphic(want) || got == types.Unknown {
			continue
		}
		switch want {
		case typeAnyArray, typeAnyCompatibleArray:
			elem := a.element(got)
			if elem == 0 && got != typeAnyArray {
				return 0, 0, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "argument declared %s is not an array but type %s", a.typeName(want), a.typeName(got))
			}
			if want == typeAnyArray {
				err = set(elem)
			} else {
				compatibles = append(compatibles, a.operand(elem, -1))
			}
		case typeAnyRange:
			elem := a.base(got).RangeElem()
			if elem == 0 {
				return 0, 0, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "argument declared anyrange is not a range type but type %s", a.typeName(got))
			}
			err = set(elem)
		case typeAnyMultirange, typeAnyCompatibleRange, typeAnyCompatibleMultirange:
			return 0, 0, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "functions over ranges are not supported")
		case typeAnyEnum:
			if t := a.catalog.Type(got); t == nil || t.Kind != 'e' {
				return 0, 0, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "type matched to anyenum is not an enum type: %s", a.typeName(got))
			}
			err = set(got)
		case typeAnyNonArray, typeAnyCompatibleNonArray:
			if a.element(got) != 0 {
				return 0, 0, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "type matched to %s is an array type: %s", a.typeName(want), a.typeName(got))
			}
			if want == typeAnyNonArray {
				err = set(a.base(got))
			} else {
				compatibles = append(compatibles, a.operand(a.base(got), -1))
			}
		case typeAnyCompatible:
			compatibles = append(compatibles, a.operand(a.base(got), -1))
		default:
			err = set(got)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if len(compatibles) > 0 {
		if compatible, err = a.commonType(compatibles, ""); err == nil && compatible == 0 {
			err = pgwire.Errorf(pgwire.CodeDatatypeMismatch, "arguments of anycompatible family cannot be cast to a common type")
		}
	} else if hasCompatible {
		compatible = types.Text
	}
	return element, compatible, err
}

// concrete is what a declared type stands for.
func (a *analyzer) concrete(oid, element, compatible types.OID) (types.OID, error) {
	if !isPolymorphic(oid) {
		return oid, nil
	}
	from := element
	if isCompatible(oid) {
		from = compatible
	}
	if from == 0 {
		if oid == typeAnyArray {
			return oid, nil
		}
		return 0, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "could not determine polymorphic type because input has type unknown")
	}
	if oid == typeAnyRange {
		return types.RangeOf(from), nil
	}
	if oid != typeAnyArray && oid != typeAnyCompatibleArray {
		return from, nil
	}
	array := a.arrayOf(from)
	if array == 0 {
		return 0, pgwire.Errorf(pgwire.CodeUndefinedObject, "could not find array type for data type %s", a.typeName(from))
	}
	return array, nil
}
