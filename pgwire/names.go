package pgwire

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Names holds a connection's prepared statements by name, and its portals. Used by the
// connection's goroutine only. The server bounds their number and bytes.
type Names struct {
	limits *Limits
	pool   *bufferPool

	// unnamed is the statement "", or nil. statementBytes is what the named ones are charged.
	unnamed        namedStatement
	statements     map[string]*namedStatement
	statementBytes int

	unnamedPortal *portal
	portals       map[string]*portal
	portalBytes   int // arguments and texts of all open portals
	// running is the portal being executed; nothing but its own end closes it.
	running *portal
	// closed are portals to be used again.
	closed []*portal
}

type namedStatement struct {
	Statement
	text   *string // as Activity shows it; nil: not known
	source Source
	uses   int64 // how many times it was bound
	bytes  int
}

// Source is what a statement or portal was made by.
type Source struct {
	SQL string
	At  time.Time
	// FromSQL: by PREPARE, not by Parse.
	FromSQL bool
}

// StatementInfo is a named statement as others may see it.
type StatementInfo struct {
	Name string
	Source
	Uses      int64
	Statement Statement
}

// PortalInfo is a named portal as others may see it.
type PortalInfo struct {
	Name string
	Source
	IsHeld bool
	Bound  Portal
}

// NewNames makes Names for a Session that runs without a server.
func NewNames(limits Limits) *Names {
	limits = limits.withDefaults()
	return newNames(&limits, nil)
}

func newNames(limits *Limits, pool *bufferPool) *Names {
	return &Names{limits: limits, pool: pool}
}

// Statement finds a prepared statement; the unnamed one is "".
func (n *Names) Statement(name string) (Statement, bool) {
	if name == "" {
		return n.unnamed.Statement, n.unnamed.Statement != nil
	}
	s, ok := n.statements[name]
	if !ok {
		return nil, false
	}
	return s.Statement, true
}

// UseStatement notes that a named statement is bound by SQL.
func (n *Names) UseStatement(name string) {
	if s := n.statements[name]; s != nil {
		s.uses++
	}
}

// Statements are the named statements, by name.
func (n *Names) Statements() []StatementInfo {
	list := make([]StatementInfo, 0, len(n.statements))
	for name, s := range n.statements {
		list = append(list, StatementInfo{name, s.source, s.uses, s.Statement})
	}
	slices.SortFunc(list, func(a, b StatementInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Portals are the named portals, by name.
func (n *Names) Portals() []PortalInfo {
	list := make([]PortalInfo, 0, len(n.portals))
	for name, p := range n.portals {
		list = append(list, PortalInfo{name, p.source, p.isHeld, p.bound})
	}
	slices.SortFunc(list, func(a, b PortalInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// statement is Statement for a name in a message; it does not allocate.
func (n *Names) statement(name []byte) (*namedStatement, error) {
	if len(name) == 0 {
		if n.unnamed.Statement == nil {
			return nil, Errorf(CodeInvalidStatementName, "unnamed prepared statement does not exist")
		}
		return &n.unnamed, nil
	}
	s, ok := n.statements[string(name)]
	if !ok {
		return nil, Errorf(CodeInvalidStatementName, "prepared statement \"%s\" does not exist", name)
	}
	return s, nil
}

// PutStatement stores a named statement (42P05 if the name is taken, 54000-class errors
// over the limits, in which the length of its text counts). The unnamed one is replaced.
func (n *Names) PutStatement(name string, s Statement, source Source) error {
	return n.putStatement(name, s, nil, source)
}

func (n *Names) putStatement(name string, s Statement, text *string, source Source) error {
	if name == "" {
		n.unnamed = namedStatement{Statement: s, text: text}
		return nil
	}
	if _, taken := n.statements[name]; taken {
		return Errorf(CodeDuplicatePreparedStatement, "prepared statement \"%s\" already exists", name)
	}
	size := len(source.SQL) + len(name) + statementOverheadBytes
	if len(n.statements) >= n.limits.Statements || n.statementBytes+size > n.limits.StatementBytes {
		e := Errorf(CodeProgramLimitExceeded, "too many prepared statements")
		e.Detail = fmt.Sprintf("There are %d with %d bytes; the limits are %d and %d.", len(n.statements), n.statementBytes, n.limits.Statements, n.limits.StatementBytes)
		e.Hint = "Deallocate statements that are no longer needed, or raise max_prepared_statements or max_prepared_statement_bytes."
		return e
	}
	if n.statements == nil {
		n.statements = make(map[string]*namedStatement)
	}
	n.statements[name] = &namedStatement{Statement: s, text: text, source: source, bytes: size}
	n.statementBytes += size
	return nil
}

// DropStatement forgets a statement and reports whether there was one. Portals already
// bound stay. DropAllStatements forgets all.
func (n *Names) DropStatement(name string) bool {
	if name == "" {
		had := n.unnamed.Statement != nil
		n.unnamed = namedStatement{}
		return had
	}
	s, ok := n.statements[name]
	if ok {
		n.statementBytes -= s.bytes
		delete(n.statements, name)
	}
	return ok
}

func (n *Names) DropAllStatements() {
	n.unnamed = namedStatement{}
	clear(n.statements)
	n.statementBytes = 0
}

// PutPortal stores a portal that SQL has opened: a cursor (42P03 if the name is taken,
// 54000 over the limits). Only the end of the session, or somebody who names it, closes one
// that isHeld; others end with their transaction.
func (n *Names) PutPortal(name string, s Statement, bound Portal, source Source, isHeld bool) error {
	if err := n.reservePortal([]byte(name), len(source.SQL)); err != nil {
		return err
	}
	p := n.newPortal()
	p.statement, p.columns, p.bound, p.source, p.isHeld = s, s.Columns(), bound, source, isHeld
	p.args.ResultFormats = expandFormats(p.args.ResultFormats[:0], len(p.columns))
	n.putPortal([]byte(name), p)
	return nil
}

// Portal finds an open portal, bound by the protocol or stored by PutPortal.
func (n *Names) Portal(name string) (Portal, bool) {
	p, err := n.portal([]byte(name))
	if err != nil {
		return nil, false
	}
	return p.bound, true
}

// DropPortal closes a portal; DropAllPortals closes all but the one being executed.
func (n *Names) DropPortal(name string) bool {
	p, err := n.portal([]byte(name))
	if err != nil || p == n.running {
		return false
	}
	n.closePortal(p)
	return true
}

func (n *Names) DropAllPortals() {
	if n.unnamedPortal != nil && n.unnamedPortal != n.running {
		n.closePortal(n.unnamedPortal)
	}
	for _, p := range n.portals {
		if p != n.running {
			n.closePortal(p)
		}
	}
}

// EndTransaction closes the portals that end with a transaction; the server calls it.
func (n *Names) EndTransaction() {
	if n.unnamedPortal != nil && n.unnamedPortal != n.running {
		n.closePortal(n.unnamedPortal)
	}
	for _, p := range n.portals {
		if p != n.running && !p.isHeld {
			n.closePortal(p)
		}
	}
}

// portal finds an open portal.
func (n *Names) portal(name []byte) (*portal, error) {
	p := n.unnamedPortal
	if len(name) > 0 {
		p = n.portals[string(name)]
	}
	if p == nil {
		return nil, Errorf(CodeInvalidCursorName, "portal \"%s\" does not exist", name)
	}
	return p, nil
}

// reservePortal makes room for a portal of this name: the unnamed one is replaced, a named one
// must be new.
func (n *Names) reservePortal(name []byte, bytes int) error {
	if len(name) == 0 {
		if n.unnamedPortal != nil {
			n.closePortal(n.unnamedPortal)
		}
	} else if _, taken := n.portals[string(name)]; taken {
		return Errorf(CodeDuplicateCursor, "cursor \"%s\" already exists", name)
	}
	if len(n.portals) >= n.limits.Portals || n.portalBytes+bytes > n.limits.PortalBytes {
		e := Errorf(CodeProgramLimitExceeded, "too many open portals")
		e.Detail = fmt.Sprintf("There are %d with %d bytes of arguments; the limits are %d and %d.", len(n.portals), n.portalBytes, n.limits.Portals, n.limits.PortalBytes)
		e.Hint = "Close portals that are no longer needed, end the transaction, or raise max_portals or max_portal_bytes."
		return e
	}
	return nil
}

// newPortal returns a portal without a bound one, possibly used before.
func (n *Names) newPortal() *portal {
	if last := len(n.closed) - 1; last >= 0 {
		p := n.closed[last]
		n.closed = n.closed[:last]
		return p
	}
	return &portal{}
}

// putPortal stores a portal that has been bound.
func (n *Names) putPortal(name []byte, p *portal) {
	n.portalBytes += p.bytes()
	if len(name) == 0 {
		n.unnamedPortal = p
		return
	}
	if n.portals == nil {
		n.portals = make(map[string]*portal)
	}
	p.name = string(name)
	n.portals[p.name] = p
}

// closePortal closes a stored portal.
func (n *Names) closePortal(p *portal) {
	if p == n.unnamedPortal {
		n.unnamedPortal = nil
	} else {
		delete(n.portals, p.name)
	}
	n.portalBytes -= p.bytes()
	n.recycle(p)
}

// recycle closes what p is bound to and keeps p for newPortal.
func (n *Names) recycle(p *portal) {
	if p.bound != nil {
		bound := p.bound
		p.bound = nil // closed exactly once, even if Close panics
		bound.Close()
		p.closedBound = bound
	}
	p.reset(n.pool)
	if len(n.closed) < recycledPortalsMax {
		n.closed = append(n.closed, p)
	}
}

// close closes everything, at the end of the connection.
func (n *Names) close() {
	n.running = nil
	n.DropAllPortals()
	n.DropAllStatements()
	n.closed = nil
}
