package sqlmap

import (
	"bytes"
	"strings"

	"pgcache/pgwire"
)

// grants is what a session's user may do, and the one place that decides it (S7). Whoever
// hands a namespace to the cache on behalf of a session asks checkNamespace first; whoever
// is about to touch namespaces that no text names asks checkAllNamespaces; whoever shows
// something of a namespace asks covers.
type grants struct {
	user  string
	role  pgwire.Role
	names []string // prefixes of namespaces; nil: all
}

func newGrants(info *pgwire.ConnInfo) grants {
	return grants{user: info.User, role: info.Identity.Role, names: info.Identity.Namespaces}
}

// checkNamespace refuses a namespace outside of the user's (42501). It costs a comparison
// for users who have all of them.
func (g *grants) checkNamespace(ns []byte) error {
	if g.names == nil {
		return nil
	}
	for _, prefix := range g.names {
		if len(ns) >= len(prefix) && string(ns[:len(prefix)]) == prefix {
			return nil
		}
	}
	e := pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "permission denied for namespace \"%s\"", bytes.ToValidUTF8(ns, []byte("?")))
	e.Detail = g.limitation()
	return e
}

// checkAllNamespaces refuses, to a user limited to some namespaces, what reaches across
// all of them (42501). what is a phrase like "TRUNCATE" or "a scan without ns = …".
func (g *grants) checkAllNamespaces(what string) error {
	if g.names == nil {
		return nil
	}
	e := pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "permission denied for %s, which reaches all namespaces", what)
	e.Detail = g.limitation()
	e.Hint = "Name the namespace: ns = …"
	return e
}

// covers reports that the user may know of a namespace.
func (g *grants) covers(ns string) bool {
	if g.names == nil {
		return true
	}
	for _, prefix := range g.names {
		if strings.HasPrefix(ns, prefix) {
			return true
		}
	}
	return false
}

// checkWrite refuses a command that changes the cache to users who may only read: 25006,
// as in every read-only transaction.
func (g *grants) checkWrite(command string) error {
	switch g.role {
	case pgwire.RoleReadWrite, pgwire.RoleAdmin:
		return nil
	}
	e := pgwire.Errorf(pgwire.CodeReadOnlyTransaction, "cannot execute %s in a read-only transaction", command)
	e.Detail = "User \"" + g.user + "\" has the role " + g.role.String() + "."
	return e
}

// checkAdmin refuses what is for administrators (42501); what is the name of a function
// with its parentheses, or a phrase.
func (g *grants) checkAdmin(what string) error {
	if g.isAdmin() {
		return nil
	}
	e := pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "permission denied for %s", what)
	e.Detail = "It is for administrators; user \"" + g.user + "\" has the role " + g.role.String() + g.inNamespaces() + "."
	return e
}

// isAdmin reports an administrator of the whole server. One who is limited to some
// namespaces is none: what administrators do reaches all.
func (g *grants) isAdmin() bool { return g.role == pgwire.RoleAdmin && g.names == nil }

func (g *grants) limitation() string {
	return "User \"" + g.user + "\" may use namespaces that begin with " + quotedList(g.names) + " only."
}

func (g *grants) inNamespaces() string {
	if g.names == nil {
		return ""
	}
	return " in namespaces that begin with " + quotedList(g.names)
}

func quotedList(names []string) string {
	return "\"" + strings.Join(names, "\", \"") + "\""
}
