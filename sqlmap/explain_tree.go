package sqlmap

import (
	"fmt"
	"strconv"
	"strings"

	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// explainNode is a step of a plan as EXPLAIN shows it.
type explainNode struct {
	kind, relation string
	fields         []explainField
	children       []*explainNode
	// reads: what ANALYZE counted of entries belongs here.
	reads bool
}

// explainField is a property of a step: a string, an int64, a float64 or a list of strings.
type explainField struct {
	name  string
	value any
}

func (n *explainNode) add(name string, value any) {
	n.fields = append(n.fields, explainField{name, value})
}

// describe makes the tree of a plan.
func (p *planner) describe(out *plan, isVerbose bool) *explainNode {
	var root *explainNode
	switch a := out.action.(type) {
	case *selectAction:
		root = p.describeSelect(a)
	case *insertAction:
		root = p.describeInsert(a)
	case *updateAction:
		root = over("Update", p.describeRead(a.where, a.needValue))
		root.relation = "blob"
		root.add("Operation", updateOperation(a))
	case *deleteAction:
		root = p.describeDelete(a)
	case *queryAction:
		root = describeQuery(a.statement.Explain())
		root.reads = true
	default:
		root = &explainNode{kind: "Utility"}
	}
	if isVerbose && len(out.columns) > 0 {
		names := make([]string, len(out.columns))
		for i, c := range out.columns {
			names[i] = c.Name
		}
		root.add("Output", names)
	}
	return root
}

// over makes a step over another.
func over(kind string, child *explainNode) *explainNode {
	return &explainNode{kind: kind, children: []*explainNode{child}}
}

// describeQuery recurses as deep as the plan.
func describeQuery(s *query.Step) *explainNode {
	out := &explainNode{kind: s.Kind, relation: s.Relation}
	for _, d := range s.Details {
		out.add(d.Name, d.Value)
	}
	for _, child := range s.Children {
		out.children = append(out.children, describeQuery(child))
	}
	return out
}

func (p *planner) describeSelect(a *selectAction) *explainNode {
	var node *explainNode
	switch source := a.source.(type) {
	case *blobSource:
		node = p.describeRead(source.where, source.needValue)
		switch {
		case source.isEmpty:
			node = &explainNode{kind: "Result"}
			node.add("Operation", "nothing: no row can pass")
		case source.where.namesKeys():
		case source.isUnordered:
			node.add("Order", "any")
		case source.isDescending:
			node.add("Order", "ns, key, descending")
		default:
			node.add("Order", "ns, key")
		}
	case *functionSource:
		node = &explainNode{kind: "Function Scan"}
	default:
		node = &explainNode{kind: "Result"}
	}
	if a.countColumns > 0 {
		return over("Aggregate", node)
	}
	if len(a.sort) > 0 {
		node = over("Sort", node)
		node.add("Sort Key", sortTexts(a))
	}
	if a.limit != nil || a.offset != nil {
		node = over("Limit", node)
	}
	return node
}

func sortTexts(a *selectAction) []string {
	var texts []string
	for _, key := range a.sort {
		text, column := "expression", a.outputs[key.Output].Expr.Column()
		switch {
		case key.Output < a.width:
			text = a.outputs[key.Output].Name
		case column >= 0 && column < blobColumns && isBlobSource(a):
			text = blobTable[column].name
		}
		if key.Descending {
			text += " DESC"
		}
		texts = append(texts, text)
	}
	return texts
}

func isBlobSource(a *selectAction) bool {
	_, ok := a.source.(*blobSource)
	return ok
}

// describeRead tells how entries are found.
func (p *planner) describeRead(w *blobWhere, needValue bool) *explainNode {
	node := &explainNode{relation: "blob", reads: true}
	switch {
	case w.namesKeys() && w.key != nil && needValue:
		node.kind = "Get"
	case w.namesKeys() && w.key != nil:
		node.kind = "Peek"
	case w.namesKeys():
		node.kind = "Multi Get"
	case w.tags != nil || w.dependencies != nil:
		node.kind = "Label Index Scan"
	default:
		node.kind = "Key Scan"
	}
	if len(p.conditions.keys) > 0 {
		node.add("Key Cond", strings.Join(p.conditions.keys, " AND "))
	}
	if len(p.conditions.others) > 0 {
		node.add("Filter", strings.Join(p.conditions.others, " AND "))
	}
	if w.ns == nil {
		node.add("Namespaces", "all")
	}
	node.add("Values", map[bool]string{true: "read", false: "not read"}[needValue])
	node.add("Tiers", p.tiers())
	return node
}

func (p *planner) tiers() string {
	if p.handler.cache.HasTier() {
		return "l1, then l2"
	}
	return "l1"
}

func (p *planner) describeInsert(a *insertAction) *explainNode {
	node := &explainNode{kind: "Insert", relation: "blob", reads: true}
	operations := map[string]string{"NOTHING": "add, unless the key has an entry", "UPDATE": "put", "": "add; an entry under the key is an error"}
	conflict := map[int32]string{2: "NOTHING", 3: "UPDATE"}[int32(a.conflict)]
	node.add("Operation", operations[conflict])
	if conflict != "" {
		node.add("Conflict Resolution", conflict)
	}
	node.add("Entries", int64(len(a.rows)))
	node.add("Tiers", p.tiers())
	return node
}

func updateOperation(a *updateAction) string {
	switch {
	case a.given&(1<<colVersion) != 0:
		return "compare and set"
	case a.given&valueColumns == 0:
		return "touch: the payload stays"
	}
	return "replace"
}

func (p *planner) describeDelete(a *deleteAction) *explainNode {
	w := a.where
	node := &explainNode{kind: "Delete", relation: "blob"}
	operation := ""
	switch {
	case w.namesKeys():
		operation = "invalidate keys"
	case !a.isCovered:
		operation = "invalidate each key that is found"
	case w.prefix != nil:
		operation = "invalidate a prefix"
	case w.tags != nil:
		operation = "invalidate tags"
	case w.dependencies != nil:
		operation = "invalidate dependencies"
	case w.ns != nil:
		operation = "flush a namespace, in constant time"
	default:
		operation = "flush all namespaces"
	}
	node.add("Operation", operation)
	if w.namesKeys() || !a.isCovered {
		node.children = []*explainNode{p.describeRead(w, a.needValue)}
		return node
	}
	if cond := append(p.conditions.keys, p.conditions.others...); len(cond) > 0 {
		node.add("Key Cond", strings.Join(cond, " AND "))
	}
	node.add("Tiers", p.tiers())
	return node
}

// traceFields are what ANALYZE counted.
func traceFields(t *runTrace) []explainField {
	var fields []explainField
	for _, f := range []struct {
		name string
		n    int64
	}{
		{"Entries in L1", t.inL1}, {"Entries in L2", t.inL2}, {"Entries of this Transaction", t.pending}, {"Keys Absent", t.absent},
		{"Rows Removed by Filter", t.filtered}, {"Entries Written", t.written}, {"Entries Deleted", t.deleted},
		{"Bytes Read", t.bytesRead}, {"Bytes Written", t.bytesWritten},
	} {
		if f.n > 0 {
			fields = append(fields, explainField{f.name, f.n})
		}
	}
	return fields
}

// explainRows are the rows of EXPLAIN's answer.
func explainRows(tree *explainNode, ran *explainRun, o explainOptions) [][]types.Value {
	if o.json {
		out := append(appendNodeJSON([]byte("[\n  {\n    \"Plan\": "), tree, ran, "    ", true), ""...)
		if ran != nil && !o.noTiming {
			out = append(out, ",\n    \"Execution Time\": "+milliText(ran)...)
		}
		return [][]types.Value{{types.OfBytes(append(out, "\n  }\n]"...))}}
	}
	var lines [][]types.Value
	for _, line := range treeLines(nil, tree, ran, 0) {
		lines = append(lines, []types.Value{types.OfText(line)})
	}
	if ran != nil && !o.noTiming {
		lines = append(lines, []types.Value{types.OfText("Execution Time: " + milliText(ran) + " ms")})
	}
	return lines
}

// treeLines recurses as deep as the plan, whose depth the parser has bounded.
func treeLines(lines []string, n *explainNode, ran *explainRun, depth int) []string {
	lines = append(lines, nodeLines(n, ran, depth)...)
	for _, child := range n.children {
		lines = treeLines(lines, child, ran, depth+1)
	}
	return lines
}

func milliText(ran *explainRun) string {
	return strconv.FormatFloat(float64(ran.elapsed.Nanoseconds())/1e6, 'f', 3, 64)
}

func (n *explainNode) allFields(ran *explainRun) []explainField {
	if ran == nil || !n.reads && len(n.children) > 0 {
		return n.fields
	}
	return append(n.fields[:len(n.fields):len(n.fields)], traceFields(&ran.trace)...)
}

func nodeLines(n *explainNode, ran *explainRun, depth int) []string {
	const arrow = "->  "
	title := n.kind
	if n.relation != "" {
		title += " on " + n.relation
	}
	if ran != nil && depth == 0 {
		title += fmt.Sprintf(" (actual rows=%d)", ran.rows)
	}
	indent := strings.Repeat(" ", 6*depth)
	if depth > 0 {
		title = indent[:len(indent)-len(arrow)] + arrow + title
	}
	lines := []string{title}
	for _, f := range n.allFields(ran) {
		text := ""
		switch v := f.value.(type) {
		case string:
			text = v
		case int64:
			text = strconv.FormatInt(v, 10)
		case []string:
			text = strings.Join(v, ", ")
		}
		lines = append(lines, indent+"  "+f.name+": "+text)
	}
	return lines
}

// appendNodeJSON writes a step as PostgreSQL does: the properties, then the steps below.
func appendNodeJSON(out []byte, n *explainNode, ran *explainRun, indent string, isRoot bool) []byte {
	inner := indent + "  "
	member := func(name string) {
		if out[len(out)-1] != '{' {
			out = append(out, ',')
		}
		out = append(out, "\n"+inner...)
		out = append(types.AppendJSONString(out, name), ": "...)
	}
	out = append(out, '{')
	member("Node Type")
	out = types.AppendJSONString(out, n.kind)
	if n.relation != "" {
		member("Relation Name")
		out = types.AppendJSONString(out, n.relation)
	}
	if ran != nil && isRoot {
		member("Actual Rows")
		out = strconv.AppendInt(out, ran.rows, 10)
	}
	for _, f := range n.allFields(ran) {
		member(f.name)
		switch v := f.value.(type) {
		case string:
			out = types.AppendJSONString(out, v)
		case int64:
			out = strconv.AppendInt(out, v, 10)
		case []string:
			out = append(out, '[')
			for i, s := range v {
				if i > 0 {
					out = append(out, ", "...)
				}
				out = types.AppendJSONString(out, s)
			}
			out = append(out, ']')
		}
	}
	if len(n.children) > 0 {
		member("Plans")
		out = append(out, "[\n"+inner+"  "...)
		for i, child := range n.children {
			if i > 0 {
				out = append(out, ",\n"+inner+"  "...)
			}
			out = appendNodeJSON(out, child, ran, inner+"  ", false)
		}
		out = append(out, "\n"+inner+"]"...)
	}
	return append(out, "\n"+indent+"}"...)
}

// Counting, for ANALYZE. A nil trace counts nothing.

func (t *runTrace) read(row query.Row, needValue bool) {
	if t == nil {
		return
	}
	entry, ok := row.(*entryRow)
	switch {
	case row == nil:
		t.absent++
		return
	case !ok:
		t.pending++
		return
	case entry.hit.FromTier():
		t.inL2++
	default:
		t.inL1++
	}
	if needValue {
		t.bytesRead += entry.hit.ValueLen()
	}
}

func (t *runTrace) filter() {
	if t != nil {
		t.filtered++
	}
}

func (t *runTrace) write(bytes int64) {
	if t != nil {
		t.written++
		t.bytesWritten += bytes
	}
}

func (t *runTrace) delete() {
	if t != nil {
		t.deleted++
	}
}
