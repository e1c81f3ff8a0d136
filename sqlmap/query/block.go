package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// block is one SELECT, VALUES or set operation, analyzed.
type block struct {
	ctes   []*cte
	ranges []*rangeItem
	from   []fromItem
	where  expr

	targets []target

	// A grouped block has, behind FROM and WHERE, one row a group: in the slot of
	// groupRange, the columns are groups, carried and aggregates, in this order.
	isGrouped  bool
	groups     []expr
	sets       [][]int // grouping sets as indexes of groups; nil: one of all
	carried    []expr  // columns that depend on the groups by a primary key
	aggregates []*aggregateExpr
	groupRange int
	having     expr

	windows     []window
	windowCalls []*windowExpr // columns of windowRange
	windowRange int

	// setCalls are the set-returning functions of the select list, innermost first; the
	// results of a level are the columns of its range.
	setCalls  [][]*callExpr
	setRanges []int

	isDistinct    bool
	distinctOn    []int // targets
	sort          []sortKey
	limit, offset expr
	withTies      bool

	// A set operation has these instead of FROM; its targets are typed like both sides.
	setOperation      pg_query.SetOperation
	setAll            bool
	setLeft, setRight *block
}

// target is a column of the result. A junk one is only sorted by.
type target struct {
	expr   expr
	name   string
	isJunk bool
}

// sortKey is a target to sort by.
type sortKey struct {
	target     int
	descending bool
	nullsFirst bool
}

// columns describes the rows of the block.
func (b *block) columns() []schema.Column {
	var out []schema.Column
	for _, t := range b.targets {
		if !t.isJunk {
			info := t.expr.info()
			out = append(out, schema.Column{Name: t.name, Type: info.oid, Typmod: info.typmod})
		}
	}
	return out
}

// rangeKind tells what a range is.
type rangeKind uint8

const (
	rangeRelation rangeKind = iota
	rangeSubquery
	rangeFunction
	rangeValues
	rangeCTE
	rangeComputed // groups, window results and set-returning functions of the block itself
)

// rangeItem is an item of FROM, or a row that the block computes.
type rangeItem struct {
	kind     rangeKind
	name     string // of the relation or function, for EXPLAIN
	alias    string
	columns  []schema.Column
	relation *schema.Relation
	block    *block
	// fields are those of each column that is a record without a named type.
	fields [][]schema.Column

	calls      []rangeCall
	ordinality bool
	rows       [][]expr // VALUES

	cte      *cte
	cteLevel int

	isLateral bool
	used      []bool // columns that are read, system columns included
	rowType   types.OID
}

// place is where the rows of a scan have a column: they hold those that are read only, which
// are few of the thirty or so of a system table.
func (r *rangeItem) place(column int) int {
	if r == nil || r.kind != rangeRelation {
		return column
	}
	at := 0
	for _, isRead := range r.used[:column] {
		if isRead {
			at++
		}
	}
	return at
}

// rangeCall is a function in FROM and how many columns it makes. Of a function that returns one
// value that is no record, spreads is false.
type rangeCall struct {
	expr    expr
	columns []schema.Column
	spreads bool
}

// cte is a WITH query.
type cte struct {
	name        string
	block       *block // of a recursive one, the set operation
	columns     []schema.Column
	fields      [][]schema.Column
	isRecursive bool
	// distinct removes duplicates of a recursive query: UNION without ALL.
	isDistinct      bool
	once, recursive *block
}

// fromItem is a range or a join.
type fromItem interface {
	conditions(add func(p *expr))
	members() []int
}

// fromRange is a range in the tree of joins.
type fromRange struct{ rng int }

func (*fromRange) conditions(func(p *expr)) {}
func (f *fromRange) members() []int         { return []int{f.rng} }

// fromJoin is a join.
type fromJoin struct {
	kind        pg_query.JoinType
	left, right fromItem
	on          expr
}

func (f *fromJoin) conditions(add func(p *expr)) {
	f.left.conditions(add)
	f.right.conditions(add)
	add(&f.on)
}

func (f *fromJoin) members() []int { return append(f.left.members(), f.right.members()...) }

// window is a window definition.
type window struct {
	name      string
	partition []expr
	order     []orderKey
	mode      frameMode
	start     frameBound
	end       frameBound
	exclude   frameExclusion
	hasFrame  bool
}

func (w *window) places(add func(p *expr)) {
	for i := range w.partition {
		add(&w.partition[i])
	}
	for i := range w.order {
		add(&w.order[i].expr)
	}
	add(&w.start.offset)
	add(&w.end.offset)
}

// frameMode is how a window frame is measured.
type frameMode uint8

const (
	frameRange frameMode = iota
	frameRows
	frameGroups
)

// boundKind is an end of a window frame.
type boundKind uint8

const (
	unboundedPreceding boundKind = iota
	offsetPreceding
	currentRow
	offsetFollowing
	unboundedFollowing
)

// frameBound is an end of a window frame. For RANGE with an offset, limit computes the
// value at the end of the frame from the operands value and by.
type frameBound struct {
	kind      boundKind
	offset    expr
	limit     expr
	value, by *operand
}

// frameExclusion is the EXCLUDE of a window frame.
type frameExclusion uint8

const (
	excludeNothing frameExclusion = iota
	excludeCurrent
	excludeGroup
	excludeTies
)
