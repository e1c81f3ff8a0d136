package sqlmap

import (
	"bytes"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// This file reads blob by ranges of keys and by labels: what is not a read of given keys.

// keyBound is key >= expr and its like. All conditions that bounds stand for are also
// tested on the rows; bounds only keep rows away.
type keyBound struct {
	expr        *query.Expression // text
	isUpper     bool
	isInclusive bool
}

// takeBound recognises key < …, key >= …, in either order of the operands.
func (p *planner) takeBound(w *blobWhere, a *pg_query.A_Expr, operator string) error {
	for i, sides := range [][2]*pg_query.Node{{a.Lexpr, a.Rexpr}, {a.Rexpr, a.Lexpr}} {
		if !p.isColumn(sides[0], colKey) {
			continue
		}
		x, err := p.independent(sides[1], types.Text)
		if x == nil || err != nil {
			return err
		}
		isLess := operator[0] == '<'
		w.bounds = append(w.bounds, keyBound{x, isLess == (i == 0), len(operator) == 2})
		return nil
	}
	return nil
}

// takeBetween recognises key BETWEEN … AND ….
func (p *planner) takeBetween(w *blobWhere, a *pg_query.A_Expr) error {
	items := a.Rexpr.GetList().GetItems()
	if !p.isColumn(a.Lexpr, colKey) || len(items) != 2 {
		return nil
	}
	for i, item := range items {
		x, err := p.independent(item, types.Text)
		if x == nil || err != nil {
			return err
		}
		w.bounds = append(w.bounds, keyBound{x, i == 1, true})
	}
	return nil
}

// takeStartsWith recognises starts_with(key, …).
func (p *planner) takeStartsWith(w *blobWhere, n *pg_query.Node) error {
	f := n.GetFuncCall()
	if f == nil || len(f.Args) != 2 || w.startsWith != nil || !p.isColumn(f.Args[0], colKey) {
		return nil
	}
	if names := query.Names(f.Funcname); names[len(names)-1] != "starts_with" {
		return nil
	}
	x, err := p.independent(f.Args[1], types.Text)
	w.startsWith = x
	return err
}

// scanRange evaluates which entries have to be looked at; isEmpty says that there are none.
func (w *blobWhere) scanRange(x *execution) (r cache.ScanRange, isEmpty bool, err error) {
	if w.ns != nil {
		if r.Namespace, err = evalText(x, w.ns); err != nil || r.Namespace == nil {
			return r, true, err
		}
	}
	for _, prefix := range []*query.Expression{w.prefix, w.startsWith} {
		if prefix == nil || isEmpty {
			continue
		}
		text, err := evalText(x, prefix)
		if err != nil || text == nil {
			return r, true, err
		}
		if prefix == w.prefix {
			text, _, _ = query.LikePrefix(text)
		}
		if len(text) > len(r.Prefix) {
			r.Prefix = text // if it does not continue the other, no row passes both conditions
		}
	}
	for _, b := range w.bounds {
		bound, err := evalText(x, b.expr)
		if err != nil || bound == nil {
			return r, true, err
		}
		raiseBound(&r, bound, b)
	}
	if isEmpty, err = w.keyRange(x, &r); isEmpty || err != nil {
		return r, isEmpty, err
	}
	return r, false, w.scanLabels(x, &r)
}

// raiseBound narrows a range.
func raiseBound(r *cache.ScanRange, bound []byte, b keyBound) {
	if b.isInclusive == b.isUpper { // key <= b is key < successor, key > b is key >= successor
		bound = append(slices.Clone(bound), 0)
	}
	switch {
	case b.isUpper && (r.Upper == nil || bytes.Compare(bound, r.Upper) < 0):
		r.Upper = bound
	case !b.isUpper && bytes.Compare(bound, r.Lower) > 0:
		r.Lower = bound
	}
}

// keyRange narrows a range to the keys that are named without a namespace.
func (w *blobWhere) keyRange(x *execution, r *cache.ScanRange) (isEmpty bool, err error) {
	if !w.hasKeys() {
		return false, nil
	}
	names, err := w.evalNames(x)
	if err != nil || len(names) == 0 {
		return true, err
	}
	raiseBound(r, slices.MinFunc(names, bytes.Compare), keyBound{isInclusive: true})
	raiseBound(r, slices.MaxFunc(names, bytes.Compare), keyBound{isInclusive: true, isUpper: true})
	return false, nil
}

// scanLabels lets a range be read through the index of labels.
func (w *blobWhere) scanLabels(x *execution, r *cache.ScanRange) error {
	var err error
	switch {
	case w.tags != nil:
		r.Kind = cache.Tag
		r.Labels, err = evalTexts(x, w.tags)
	case w.dependencies != nil:
		r.Kind = cache.Dependency
		r.Labels, err = evalTexts(x, w.dependencies)
	}
	return err
}

// scanOrder recognises an ORDER BY that is the order of a scan.
func scanOrder(a *selectAction, w *blobWhere) (isDescending, ok bool) {
	wanted := []int{colNS, colKey}
	if w.ns != nil {
		wanted = wanted[1:]
	}
	for i, key := range a.sort {
		column := a.outputs[key.Output].Expr.Column()
		if column == colNS && w.ns != nil {
			continue // the same in all rows
		}
		if column != wanted[0] || i > 0 && key.Descending != isDescending {
			return false, false
		}
		isDescending = key.Descending
		if wanted = wanted[1:]; len(wanted) == 0 {
			break // ns and key are unique
		}
	}
	return isDescending, true
}

// scanCursor reads the entries of a range, those that the session's transaction has
// pending in their places.
type scanCursor struct {
	scan *cache.Scan
	runs int       // of the portal, when the scan was last used
	hit  cache.Hit // of the scan
	own  cache.Hit // of an entry that was pending and no longer is
	key  cache.Key
	row  entryRow
	// isAhead: hit holds an entry that comes after pending[0]; isOver: there are no more.
	isAhead, isOver bool

	pending      []*pendingKey
	comes        map[*pendingKey]struct{} // all that are or were in pending
	isDescending bool
	needValue    bool
	looked       uint64
}

// rowsBetweenChecks is how many rows a scan finds before it looks whether it is cancelled.
const rowsBetweenChecks = 256

// eachKey calls f with the key of every entry that passes the conditions; f may write to
// it. The key is valid during the call.
func (w *blobWhere) eachKey(x *execution, filter *query.Expression, needValue bool, f func(cache.Key) error) error {
	r, isEmpty, err := w.scanRange(x)
	if err != nil || isEmpty {
		return err
	}
	r.NeedValue = needValue
	c, err := x.session.openScan(x, r)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		ok, err := c.next(x)
		if err != nil || !ok {
			return err
		}
		key := c.current(x)
		if passes, err := w.holds(&x.env, filter); err != nil {
			return err
		} else if !passes {
			x.trace.filter()
			continue
		}
		if err := f(key); err != nil {
			return err
		}
	}
}

// current is the key of the row that next has found.
func (c *scanCursor) current(x *execution) cache.Key {
	if row, ok := x.env.Rows[0].(*draftRow); ok {
		return row.key
	}
	return c.row.key
}

// openScan begins a scan as the session sees it.
func (s *session) openScan(x *execution, r cache.ScanRange) (*scanCursor, error) {
	if err := s.checkScan(r.Namespace); err != nil {
		return nil, err
	}
	scan, err := s.handler.cache.Scan(x.env.Ctx, r)
	if err != nil {
		return nil, err
	}
	c := &scanCursor{scan: scan, runs: x.runs, isDescending: r.Descending, needValue: r.NeedValue}
	for _, p := range s.tx.pending {
		if r.Namespace != nil && !bytes.Equal(p.key.Namespace, r.Namespace) || !bytes.HasPrefix(p.key.Name, r.Prefix) ||
			bytes.Compare(p.key.Name, r.Lower) < 0 || r.Upper != nil && bytes.Compare(p.key.Name, r.Upper) >= 0 {
			continue
		}
		c.pending = append(c.pending, p)
		if c.comes == nil {
			c.comes = map[*pendingKey]struct{}{}
		}
		c.comes[p] = struct{}{}
	}
	slices.SortFunc(c.pending, func(a, b *pendingKey) int { return c.compare(a.key, b.key) })
	return c, nil
}

func (s *session) checkScan(ns []byte) error {
	if ns == nil {
		return s.grants.checkAllNamespaces("a scan without ns = …")
	}
	return s.grants.checkNamespace(ns)
}

// compare orders keys as the scan does.
func (c *scanCursor) compare(a, b cache.Key) int {
	order := bytes.Compare(a.Namespace, b.Namespace)
	if order == 0 {
		order = bytes.Compare(a.Name, b.Name)
	}
	if c.isDescending {
		return -order
	}
	return order
}

func (c *scanCursor) next(x *execution) (bool, error) {
	if c.runs != x.runs {
		c.runs = x.runs
		c.scan.Renew()
	}
	// The cache looks where it collects keys; those of a label are all there at the beginning.
	if c.looked++; c.looked%rowsBetweenChecks == 1 {
		if err := x.env.Ctx.Err(); err != nil {
			return false, err
		}
	}
	for {
		if err := c.advance(x); err != nil {
			return false, err
		}
		if c.isAhead && x.session.tx.isDirty() {
			row, isOwn := c.ownRow(x)
			switch {
			case row != nil:
				c.isAhead = false
				x.env.Rows[0] = row
				return true, nil
			case isOwn:
				c.isAhead = false
				continue
			}
		}
		order := 1 // of the first pending entry to the one that was read
		switch {
		case c.isOver && len(c.pending) == 0:
			return false, nil
		case c.isOver:
			order = -1
		case len(c.pending) > 0:
			order = c.compare(c.pending[0].key, c.key)
		}
		if order > 0 {
			c.isAhead = false
			c.row = entryRow{key: c.key, hit: &c.hit}
			x.trace.read(&c.row, c.needValue)
			x.env.Rows[0] = &c.row
			return true, nil
		}
		p := c.pending[0]
		c.pending = c.pending[1:]
		// A later statement of the transaction may have changed or dropped it, or, for a
		// cursor WITH HOLD, committed it.
		row, err := x.session.read(x.env.Ctx, p.key, true, &c.own, &c.row)
		if err != nil {
			return false, err
		}
		if row != nil {
			x.trace.read(row, false)
			x.env.Rows[0] = row
			return true, nil
		}
	}
}

// ownRow looks at what the transaction made of the entry that was read. isOwn: the entry
// itself does not count; row, if not nil, takes its place.
func (c *scanCursor) ownRow(x *execution) (row query.Row, isOwn bool) {
	t := &x.session.tx
	p := t.find(c.key)
	if p == nil {
		return nil, t.hides(c.key, c.hit.Attrs())
	}
	if _, comes := c.comes[p]; comes || p.isDeleted {
		return nil, true
	}
	return &p.row, true // changed since the scan began
}

// advance makes sure of an entry to compare with.
func (c *scanCursor) advance(x *execution) error {
	if c.isAhead || c.isOver {
		return nil
	}
	c.hit.Release()
	c.own.Release()
	key, ok, err := c.scan.Next(x.env.Ctx, &c.hit)
	if err == nil {
		c.key, c.isAhead, c.isOver = key, ok, !ok
	}
	return err
}

func (c *scanCursor) close() {
	c.hit.Release()
	c.own.Release()
	c.scan.Close()
}
