package pgwire

import (
	"context"
	"testing"
)

// closing is a portal that notes its end.
type closing struct{ closed bool }

func (c *closing) Execute(context.Context, *Reply, bool) (Completion, error) {
	return Completion{}, nil
}
func (c *closing) Close() { c.closed = true }

type noStatement struct{}

func (noStatement) ParamOIDs() []uint32   { return nil }
func (noStatement) Columns() []Column     { return []Column{{Name: "a"}, {Name: "b"}} }
func (noStatement) EndsTransaction() bool { return false }
func (noStatement) Bind(context.Context, *BindArgs, Portal) (Portal, error) {
	return &closing{}, nil
}

// A cursor that is held outlives its transaction; CLOSE and CLOSE ALL end it.
func TestPortalsOfSQL(t *testing.T) {
	n := NewNames(Limits{})
	held, other, last := &closing{}, &closing{}, &closing{}
	for name, p := range map[string]*closing{"held": held, "other": other} {
		if err := n.PutPortal(name, noStatement{}, p, Source{}, p == held); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.PutPortal("held", noStatement{}, &closing{}, Source{}, false); codeOf(err) != CodeDuplicateCursor {
		t.Errorf("the same name again: %v", err)
	}
	if p, ok := n.Portal("held"); !ok || p != Portal(held) {
		t.Error("not found")
	}
	n.EndTransaction()
	if held.closed || !other.closed {
		t.Errorf("after the transaction: held closed %v, other closed %v", held.closed, other.closed)
	}
	if _, ok := n.Portal("other"); ok {
		t.Error("found after its end")
	}
	if !n.DropPortal("held") || !held.closed {
		t.Error("not closed by name")
	}
	if err := n.PutPortal("last", noStatement{}, last, Source{}, true); err != nil {
		t.Fatal(err)
	}
	n.DropAllPortals()
	if !last.closed {
		t.Error("not closed with all")
	}
}

func codeOf(err error) Code {
	if e, ok := err.(*Error); ok {
		return e.Code
	}
	return ""
}
