package sqlmap

import (
	"strings"
	"sync/atomic"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
)

// This file tells the catalog who the users are.

// knownRoles keeps the roles of the users file until it is read again.
type knownRoles struct {
	latest atomic.Pointer[rolesOfAccounts]
}

type rolesOfAccounts struct {
	accounts *pgwire.Accounts
	roles    *catalog.Roles
}

// of are the roles of accounts, which never change.
func (k *knownRoles) of(accounts *pgwire.Accounts) *catalog.Roles {
	if known := k.latest.Load(); known != nil && known.accounts == accounts {
		return known.roles
	}
	var users []catalog.User
	accounts.Each(func(name string, identity pgwire.Identity) {
		users = append(users, userRole(name, identity))
	})
	roles := catalog.NewRoles(users)
	k.latest.Store(&rolesOfAccounts{accounts, roles})
	return roles
}

// roles are those that the statements of a session see: the users of the users file or,
// where everybody is trusted, whoever is connected.
func (s *session) roles() *catalog.Roles {
	own := userRole(s.info.User, s.info.Identity)
	if s.info.Backends == nil {
		return catalog.NewRoles([]catalog.User{own})
	}
	if accounts, areKnown := s.info.Backends.Users(); areKnown {
		return s.handler.roles.of(accounts)
	}
	users := []catalog.User{own}
	seen := map[string]bool{own.Name: true}
	for _, a := range s.info.Backends.Activity() {
		if !seen[a.User] {
			seen[a.User] = true
			users = append(users, userRole(a.User, pgwire.Identity{Role: pgwire.RoleAdmin}))
		}
	}
	return catalog.NewRoles(users)
}

// userRole is a user as the catalog shows it. An administrator of some namespaces only is no
// superuser (see grants.isAdmin).
func userRole(name string, identity pgwire.Identity) catalog.User {
	g := grants{user: name, role: identity.Role, names: identity.Namespaces}
	u := catalog.User{Name: name, IsSuper: g.isAdmin(), IsLimited: g.names != nil, IsReadOnly: g.role == pgwire.RoleReadOnly}
	switch g.role {
	case pgwire.RoleAdmin:
		u.Group = catalog.GroupAdmin
	case pgwire.RoleReadWrite:
		u.Group = catalog.GroupReadWrite
	case pgwire.RoleReadOnly:
		u.Group = catalog.GroupReadOnly
	}
	if u.IsLimited {
		u.Comment = strings.TrimSpace(g.role.String() + g.inNamespaces())
	}
	return u
}

// rolesOf is roles for the catalog. A statement sees the same ones from its beginning to its
// end.
func rolesOf(s schema.Session) *catalog.Roles {
	q := s.(*querySession)
	if q.roles == nil {
		q.roles = q.session.roles()
	}
	return q.roles
}

// callers are the procedures that not everyone may call.
func callers() map[string]catalog.Access {
	out := map[string]catalog.Access{"cache_backup": catalog.ForSuperusers}
	for _, name := range []string{"invalidate_key", "invalidate_prefix", "invalidate_tags", "invalidate_dependencies", "invalidate_namespace",
		"cache_put", "cache_touch", "cache_incr", "sweep_expired"} {
		out[name] = catalog.ForWriters
	}
	return out
}

// writers are who may write a relation.
func writers(relation string) catalog.Access {
	switch relation {
	case "blob":
		return catalog.ForWriters
	case "cache_namespaces":
		return catalog.ForAdmins
	}
	return catalog.ForEveryone
}

// IsReservedUser reports a name that no user can have: one of the roles that the catalog shows
// beside the users.
func IsReservedUser(name string) bool { return catalog.IsReservedRole(name) }
