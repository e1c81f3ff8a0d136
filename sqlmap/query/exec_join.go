package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/types"
)

// tuple is a row of several ranges, kept.
type tuple [][]types.Value

func (x *execution) save(f *frame, ranges []int) (tuple, error) {
	t := make(tuple, len(ranges))
	bytes := int64(24 * len(ranges))
	for i, rng := range ranges {
		t[i] = f.slots[rng]
		bytes += rowBytes(t[i])
	}
	return t, x.budget.keep(bytes)
}

func (t tuple) restore(f *frame, ranges []int) {
	for i, rng := range ranges {
		if t == nil {
			f.slots[rng] = nil
		} else {
			f.slots[rng] = t[i]
		}
	}
}

// joinProgram is a compiled join.
type joinProgram struct {
	node         *joinNode
	x            *execution
	left, right  opener
	leftK        []evaluator
	rightK       []evaluator
	keyTypes     []types.OID
	conditions   []evaluator
	isOuter      bool // rows of the left without a match are kept
	isFull       bool
	rightIsFixed bool // the right side is the same whatever the frames around are
	kept         *joinTable
}

func (n *joinNode) compile(x *execution) (opener, error) {
	p := &joinProgram{node: n, x: x}
	var err error
	if p.left, err = n.left.compile(x); err != nil {
		return nil, err
	}
	if p.right, err = n.right.compile(x); err != nil {
		return nil, err
	}
	if p.leftK, err = x.compileAll(n.leftK); err != nil {
		return nil, err
	}
	if p.rightK, err = x.compileAll(n.rightK); err != nil {
		return nil, err
	}
	for _, k := range n.leftK {
		p.keyTypes = append(p.keyTypes, x.base(k.info().oid))
	}
	if p.conditions, err = x.compileAll(n.conditions); err != nil {
		return nil, err
	}
	p.rightIsFixed = isFixed(n.right)
	p.isFull = n.kind == pg_query.JoinType_JOIN_FULL
	p.isOuter = p.isFull || n.kind == pg_query.JoinType_JOIN_LEFT
	return p.open, nil
}

func (p *joinProgram) open(f *frame) (iterator, error) {
	left, err := p.left(f)
	if err != nil {
		return nil, err
	}
	r := &joinRows{program: p, frame: f, left: left}
	if p.node.reopens {
		return r, nil
	}
	if r.table = p.kept; r.table == nil {
		if r.table, err = p.build(f); err != nil {
			left.close()
			return nil, err
		}
		if p.rightIsFixed {
			p.kept = r.table
		}
	}
	if p.isFull {
		r.matched = make([]bool, len(r.table.tuples))
	}
	return r, nil
}

// joinTable has the rows of the right side of a join, by key if there are keys.
type joinTable struct {
	tuples []tuple
	byKey  map[string][]int32
}

// build reads the right side.
func (p *joinProgram) build(f *frame) (*joinTable, error) {
	rows, err := p.right(f)
	if err != nil {
		return nil, err
	}
	defer rows.close()
	t := &joinTable{}
	if len(p.rightK) > 0 {
		t.byKey = make(map[string][]int32)
	}
	var key []byte
	for {
		ok, err := rows.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return t, nil
		}
		if err := p.x.budget.step(); err != nil {
			return nil, err
		}
		hasNull := false
		if key, hasNull, err = p.key(key[:0], p.rightK, f); err != nil {
			return nil, err
		}
		if hasNull && !p.isFull {
			continue // equal to nothing
		}
		saved, err := p.x.save(f, p.node.rightR)
		if err != nil {
			return nil, err
		}
		t.tuples = append(t.tuples, saved)
		if t.byKey != nil && !hasNull {
			t.byKey[string(key)] = append(t.byKey[string(key)], int32(len(t.tuples)-1))
		}
	}
}

func (p *joinProgram) key(dst []byte, keys []evaluator, f *frame) ([]byte, bool, error) {
	for i, eval := range keys {
		v, err := eval(f)
		if err != nil || v.IsNull {
			return dst, v.IsNull, err
		}
		dst = appendKey(dst, p.keyTypes[i], v)
	}
	return dst, false, nil
}

// joinRows makes the rows of a join: for each of the left, those of the right that match.
type joinRows struct {
	program *joinProgram
	frame   *frame
	left    iterator
	table   *joinTable
	matched []bool // of a full join: tuples of the right that had a match

	hasLeft  bool
	hadMatch bool
	inner    iterator // of a right side that is opened again
	list     []int32  // candidates of the table; nil with all: all of it
	all      bool
	at       int
	leftDone bool
	rest     int
	keyBytes []byte
}

func (r *joinRows) next() (bool, error) {
	for !r.leftDone {
		if !r.hasLeft {
			ok, err := r.left.next()
			if err != nil {
				return false, err
			}
			if !ok {
				r.leftDone = true
				break
			}
			if err := r.begin(); err != nil {
				return false, err
			}
		}
		ok, err := r.match()
		if err != nil || ok {
			return ok, err
		}
		r.hasLeft = false
		if r.program.isOuter && !r.hadMatch {
			tuple(nil).restore(r.frame, r.program.node.rightR)
			return true, nil
		}
	}
	return r.unmatched()
}

// begin finds the candidates for the left's row.
func (r *joinRows) begin() (err error) {
	r.hasLeft, r.hadMatch, r.at = true, false, 0
	p := r.program
	if p.node.reopens {
		if r.inner != nil {
			r.inner.close()
		}
		r.inner, err = p.right(r.frame)
		return err
	}
	r.list, r.all = nil, len(p.leftK) == 0
	if r.all {
		return nil
	}
	hasNull := false
	if r.keyBytes, hasNull, err = p.key(r.keyBytes[:0], p.leftK, r.frame); err == nil && !hasNull {
		r.list = r.table.byKey[string(r.keyBytes)]
	}
	return err
}

// match moves to the next candidate that passes the conditions.
func (r *joinRows) match() (bool, error) {
	for {
		if err := r.program.x.budget.step(); err != nil {
			return false, err
		}
		index := -1
		switch {
		case r.inner != nil:
			ok, err := r.inner.next()
			if err != nil || !ok {
				return false, err
			}
		case r.all && r.at < len(r.table.tuples):
			index = r.at
		case !r.all && r.at < len(r.list):
			index = int(r.list[r.at])
		default:
			return false, nil
		}
		r.at++
		if index >= 0 {
			r.table.tuples[index].restore(r.frame, r.program.node.rightR)
		}
		ok, err := passes(r.program.conditions, r.frame)
		if err != nil {
			return false, err
		}
		if ok {
			r.hadMatch = true
			if r.matched != nil {
				r.matched[index] = true
			}
			return true, nil
		}
	}
}

// unmatched are the rows of the right side of a full join that had no match.
func (r *joinRows) unmatched() (bool, error) {
	for ; r.rest < len(r.matched); r.rest++ {
		if r.matched[r.rest] {
			continue
		}
		tuple(nil).restore(r.frame, r.program.node.leftR)
		r.table.tuples[r.rest].restore(r.frame, r.program.node.rightR)
		r.rest++
		return true, r.program.x.budget.step()
	}
	return false, nil
}

func (r *joinRows) close() {
	r.left.close()
	if r.inner != nil {
		r.inner.close()
	}
}
