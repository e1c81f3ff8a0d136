package query

import (
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// single is an iterator over one row that is in the slots already.
type single struct{ done bool }

func (s *single) next() (bool, error) {
	more := !s.done
	s.done = true
	return more, nil
}

func (*single) close() {}

func (*onceNode) compile(*execution) (opener, error) {
	return func(*frame) (iterator, error) { return &single{}, nil }, nil
}

func (n *filterNode) compile(x *execution) (opener, error) {
	child, err := n.child.compile(x)
	if err != nil {
		return nil, err
	}
	conditions, err := x.compileAll(n.conditions)
	if err != nil {
		return nil, err
	}
	return func(f *frame) (iterator, error) {
		rows, err := child(f)
		if err != nil {
			return nil, err
		}
		return &filterRows{rows: rows, conditions: conditions, frame: f}, nil
	}, nil
}

type filterRows struct {
	rows       iterator
	conditions []evaluator
	frame      *frame
}

func (r *filterRows) next() (bool, error) {
	for {
		ok, err := r.rows.next()
		if err != nil || !ok {
			return false, err
		}
		if ok, err = passes(r.conditions, r.frame); err != nil || ok {
			return ok, err
		}
	}
}

func (r *filterRows) close() { r.rows.close() }

// scanProgram is a compiled scan.
type scanProgram struct {
	node       *scanNode
	x          *execution
	conditions []evaluator
	values     [][]evaluator
	arrays     []evaluator
	read       []int // the columns that are read
}

func (n *scanNode) compile(x *execution) (opener, error) {
	p := &scanProgram{node: n, x: x, values: make([][]evaluator, len(n.filters)), arrays: make([]evaluator, len(n.filters))}
	for i, isRead := range n.item.used {
		if isRead {
			p.read = append(p.read, i)
		}
	}
	var err error
	if p.conditions, err = x.compileAll(n.conditions); err != nil {
		return nil, err
	}
	for i, f := range n.filters {
		if p.values[i], err = x.compileAll(f.values); err != nil {
			return nil, err
		}
		if f.array != nil {
			if p.arrays[i], err = x.compile(f.array); err != nil {
				return nil, err
			}
		}
	}
	return p.open, nil
}

// open begins the scan. A relation that is scanned again and again for another value of a
// column, which its source cannot look up, gets an index for the statement.
func (p *scanProgram) open(f *frame) (iterator, error) {
	x, n := p.x, p.node
	filters, none, err := p.filters(f)
	if err != nil || none {
		return &noRows{}, err
	}
	x.opens[n]++
	if key := p.indexable(); key >= 0 && x.opens[n] > scansBeforeIndex {
		return p.byIndex(f, key, filters)
	}
	return p.direct(f, filters)
}

// scansBeforeIndex is how often a relation is scanned before it gets an index.
const scansBeforeIndex = 2

type noRows struct{}

func (*noRows) next() (bool, error) { return false, nil }
func (*noRows) close()              {}

// filters evaluates the filters; none says that no row can pass.
func (p *scanProgram) filters(f *frame) (out []schema.Filter, none bool, err error) {
	for i, filter := range p.node.filters {
		made := schema.Filter{Column: filter.column, Comparison: filter.comparison}
		for _, eval := range p.values[i] {
			v, err := eval(f)
			if err != nil {
				return nil, false, err
			}
			switch {
			case !v.IsNull:
				made.Values = append(made.Values, v)
			case made.Comparison != schema.In:
				return nil, true, nil
			}
		}
		if made.Comparison == schema.In && p.arrays[i] == nil && len(made.Values) == 0 {
			return nil, true, nil
		}
		if p.arrays[i] != nil {
			v, err := p.arrays[i](f)
			if err != nil {
				return nil, false, err
			}
			if v.IsNull {
				return nil, true, nil
			}
			for _, elem := range v.Elems {
				if !elem.IsNull {
					made.Values = append(made.Values, elem)
				}
			}
			if len(made.Values) == 0 && made.Comparison != schema.Contains {
				return nil, true, nil
			}
		}
		out = append(out, made)
	}
	return out, false, nil
}

// indexable is the filter that an index would serve, -1 if there is none, or the source
// looks rows up itself.
func (p *scanProgram) indexable() int {
	key := -1
	for i, f := range p.node.filters {
		if f.comparison != schema.Equal || !f.outer {
			continue
		}
		for _, c := range p.node.item.relation.Lookup {
			if c == f.column {
				return -1
			}
		}
		if key < 0 {
			key = i
		}
	}
	return key
}

func (p *scanProgram) request(filters []schema.Filter) *schema.Request {
	r := p.node.item
	columns := make([]bool, len(r.columns))
	copy(columns, r.used)
	return &schema.Request{Columns: columns, Filters: filters}
}

func (p *scanProgram) direct(f *frame, filters []schema.Filter) (iterator, error) {
	rows, err := p.node.item.relation.Source.Open(p.x.env, p.request(filters))
	if err != nil {
		return nil, err
	}
	return &scanRows{program: p, frame: f, source: p.source(rows)}, nil
}

// scanSource reads the rows of a relation and narrows them to the columns that are read.
type scanSource struct {
	x     *execution
	item  *rangeItem
	rows  schema.Rows
	wide  []types.Value // a row with all its columns, behind which the system's stand
	read  []int         // the columns of a narrow row
	count int64
}

func (p *scanProgram) source(rows schema.Rows) scanSource {
	s := scanSource{x: p.x, item: p.node.item, rows: rows, read: p.read}
	s.wide = make([]types.Value, max(len(s.item.columns), len(s.item.used)))
	return s
}

// next reads a row, which is nil after the last.
func (s *scanSource) next() ([]types.Value, error) {
	if err := s.x.budget.step(); err != nil {
		return nil, err
	}
	columns := len(s.item.columns)
	ok, err := s.rows.Next(s.wide[:columns:columns])
	if err != nil || !ok {
		return nil, err
	}
	s.count++
	if len(s.wide) > columns {
		systemValues(s.wide[columns:], s.item.relation, s.count)
	}
	row := s.x.row(len(s.read))
	for i, column := range s.read {
		row[i] = s.wide[column]
	}
	return row, nil
}

type scanRows struct {
	program *scanProgram
	frame   *frame
	source  scanSource
}

func (r *scanRows) next() (bool, error) {
	p := r.program
	n := p.node
	for {
		row, err := r.source.next()
		if err != nil || row == nil {
			return false, err
		}
		r.frame.slots[n.rng] = row
		if ok, err := passes(p.conditions, r.frame); err != nil || ok {
			return ok, err
		}
		p.x.giveBack(row)
	}
}

// giveBack returns the row that was allocated last and that nobody has kept.
func (x *execution) giveBack(row []types.Value) {
	clear(row)
	x.spare = row
}

func (r *scanRows) close() { r.source.rows.Close() }

// systemValues fills in tableoid and its like: every row is visible to all, and its place
// is its number.
func systemValues(out []types.Value, r *schema.Relation, number int64) {
	const rowsPerPage = 100
	for i := range out {
		switch systemColumns[i].Name {
		case "tableoid":
			out[i] = types.OfInt(int64(r.OID))
		case "ctid":
			v, err := types.ParseText(typeTid, appendTid(nil, (number-1)/rowsPerPage, (number-1)%rowsPerPage+1), nil)
			if err != nil {
				v = types.Null()
			}
			out[i] = v
		case "xmin":
			out[i] = types.OfInt(1)
		default:
			out[i] = types.OfInt(0)
		}
	}
}

func appendTid(dst []byte, block, offset int64) []byte {
	dst = append(dst, '(')
	dst = types.AppendText(dst, types.Int8, types.OfInt(block), nil)
	dst = append(dst, ',')
	dst = types.AppendText(dst, types.Int8, types.OfInt(offset), nil)
	return append(dst, ')')
}

// scanIndex has the rows of a relation by one column.
type scanIndex struct{ rows map[string][][]types.Value }

// byIndex finds rows through the statement's index, made when it is first needed.
func (p *scanProgram) byIndex(f *frame, key int, filters []schema.Filter) (iterator, error) {
	x, n := p.x, p.node
	index := x.indexes[n]
	column := n.filters[key].column
	oid := n.item.columns[column].Type
	if index == nil {
		var lasting []schema.Filter // those that are the same for every scan
		for i, f := range n.filters {
			if !f.outer {
				lasting = append(lasting, filters[i])
			}
		}
		var err error
		if index, err = p.makeIndex(column, oid, lasting); err != nil {
			return nil, err
		}
		x.indexes[n] = index
	}
	found := index.rows[string(appendKey(nil, oid, filters[key].Values[0]))]
	return &filterRows{rows: &listRows{x: x, frame: f, rng: n.rng, rows: found}, conditions: p.conditions, frame: f}, nil
}

func (p *scanProgram) makeIndex(column int, oid types.OID, filters []schema.Filter) (*scanIndex, error) {
	x, n := p.x, p.node
	rows, err := n.item.relation.Source.Open(x.env, p.request(filters))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	index := &scanIndex{rows: make(map[string][][]types.Value)}
	source, place := p.source(rows), n.item.place(column)
	for {
		row, err := source.next()
		if err != nil {
			return nil, err
		}
		if row == nil {
			return index, nil
		}
		if err := x.budget.keep(rowBytes(row)); err != nil {
			return nil, err
		}
		key := string(appendKey(nil, oid, row[place]))
		index.rows[key] = append(index.rows[key], row)
	}
}

// listRows puts rows that are there into a slot, one after the other.
type listRows struct {
	x     *execution
	frame *frame
	rng   int
	rows  [][]types.Value
}

func (l *listRows) next() (bool, error) {
	if len(l.rows) == 0 {
		return false, nil
	}
	if err := l.x.budget.step(); err != nil {
		return false, err
	}
	l.frame.slots[l.rng], l.rows = l.rows[0], l.rows[1:]
	return true, nil
}

func (*listRows) close() {}
