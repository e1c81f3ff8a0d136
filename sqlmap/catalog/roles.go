package catalog

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// The roles that users are members of: what a user may do is what its group may do. They
// own nothing and nobody can log in as one; no user may have such a name.
const (
	GroupReadOnly  = "pgcache_readonly"
	GroupReadWrite = "pgcache_readwrite"
	GroupAdmin     = "pgcache_admin"
)

// Groups are the roles that users are members of, in the order of their OIDs.
func Groups() []string { return []string{GroupReadOnly, GroupReadWrite, GroupAdmin} }

// OIDs of roles: those of groups end where the objects of users begin, those of users are
// made of their names.
const (
	groupOIDsFrom = FirstOID - 8
	userOIDsFrom  = 1 << 24
	userOIDsTo    = 1 << 31 // clients that read an OID as an int4 keep it positive
)

// IsReservedRole reports that a name is no user's: PostgreSQL's own roles, the groups and
// the words that stand for no role.
func IsReservedRole(name string) bool {
	return strings.HasPrefix(name, "pg_") || name == "public" || name == "none" || slices.Contains(Groups(), name)
}

// User is someone who can log in.
type User struct {
	Name string
	// Group is one of Groups.
	Group string
	// IsSuper: may do everything. IsLimited: in some namespaces only.
	IsSuper, IsLimited bool
	// IsReadOnly: sessions begin with default_transaction_read_only on.
	IsReadOnly bool
	// Comment is what \du+ shows.
	Comment string
}

// Role is a user or a group, with its OID.
type Role struct {
	User
	OID      types.OID
	CanLogin bool
}

// Roles are the roles of a server at one moment, but those that PostgreSQL predefines.
// They never change and may be used by any number of goroutines.
type Roles struct {
	list   []Role // by OID
	byName map[string]int
	byOID  map[types.OID]int
}

// NewRoles makes Roles of the users there are. An OID depends on its name, and where two
// names would have the same, on which comes first in the order of names.
func NewRoles(users []User) *Roles {
	r := &Roles{byName: make(map[string]int), byOID: make(map[types.OID]int)}
	users = slices.Clone(users)
	slices.SortFunc(users, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	taken := make(map[types.OID]bool, len(users))
	owner := Role{User: User{Name: Owner, IsSuper: true}, OID: OwnerOID}
	for _, u := range users {
		if u.Name == Owner {
			owner.User, owner.CanLogin = u, true
			continue
		}
		oid := userOID(u.Name)
		for taken[oid] {
			if oid++; oid == userOIDsTo {
				oid = userOIDsFrom
			}
		}
		taken[oid] = true
		r.list = append(r.list, Role{User: u, OID: oid, CanLogin: true})
	}
	r.list = append(r.list, owner)
	for i, name := range Groups() {
		r.list = append(r.list, Role{User: User{Name: name}, OID: groupOIDsFrom + types.OID(i)})
	}
	slices.SortFunc(r.list, func(a, b Role) int { return cmp.Compare(a.OID, b.OID) })
	for i, role := range r.list {
		r.byName[role.Name], r.byOID[role.OID] = i, i
	}
	return r
}

// userOID is the OID of a user, unless another has it.
func userOID(name string) types.OID {
	h := fnv.New64a()
	h.Write([]byte(name))
	return types.OID(userOIDsFrom + h.Sum64()%(userOIDsTo-userOIDsFrom))
}

// Named finds a role by name.
func (r *Roles) Named(name string) (*Role, bool) {
	i, ok := r.byName[name]
	if !ok {
		return nil, false
	}
	return &r.list[i], true
}

// ByOID finds a role by OID.
func (r *Roles) ByOID(oid types.OID) (*Role, bool) {
	i, ok := r.byOID[oid]
	if !ok {
		return nil, false
	}
	return &r.list[i], true
}

// Roles are the roles that a session sees.
func (c *Catalog) Roles(s schema.Session) *Roles {
	if c.config.Roles != nil {
		return c.config.Roles(s)
	}
	return NewRoles([]User{{Name: s.User(), Group: GroupAdmin, IsSuper: true}})
}

// roleOID finds a role by name, PostgreSQL's own ones included; 0: there is none.
func (c *Catalog) roleOID(roles *Roles, name string) types.OID {
	if roles != nil {
		if role, ok := roles.Named(name); ok {
			return role.OID
		}
	}
	return c.lookupOID("pg_authid", "rolname", name, "")
}

// RoleOID finds a role that a session sees; 0: there is none.
func (c *Catalog) RoleOID(s schema.Session, name string) types.OID {
	return c.roleOID(c.Roles(s), name)
}

// roleRows are the rows of pg_authid beside the snapshot's. Nobody gets to see what is kept
// of passwords. No role creates roles or databases, for there are no such statements.
func (c *Catalog) roleRows(env *schema.Env) ([]Row, error) {
	var rows []Row
	for _, role := range c.Roles(env.Session).list {
		rows = append(rows, Row{"oid": oidOf(role.OID), "rolname": text(role.Name), "rolsuper": boolean(role.IsSuper), "rolinherit": boolean(true),
			"rolbypassrls": boolean(role.IsSuper), "rolcanlogin": boolean(role.CanLogin), "rolconnlimit": integer(-1)})
	}
	return rows, nil
}

// memberRows are the rows of pg_auth_members: every user is a member of its group. There is
// no SET ROLE to a group.
func (c *Catalog) memberRows(env *schema.Env) ([]Row, error) {
	roles := c.Roles(env.Session)
	var rows []Row
	for _, role := range roles.list {
		if group, ok := roles.Named(role.Group); ok {
			rows = append(rows, Row{"oid": oidOf(role.OID), "roleid": oidOf(group.OID), "member": oidOf(role.OID), "grantor": oidOf(OwnerOID),
				"inherit_option": boolean(true)})
		}
	}
	return rows, nil
}

// roleSettingRows are the rows of pg_db_role_setting.
func (c *Catalog) roleSettingRows(env *schema.Env) ([]Row, error) {
	var rows []Row
	for _, role := range c.Roles(env.Session).list {
		if role.IsReadOnly {
			rows = append(rows, Row{"setrole": oidOf(role.OID), "setconfig": types.OfTexts([]string{"default_transaction_read_only=on"})})
		}
	}
	return rows, nil
}

// roleCommentRows are the rows of pg_shdescription about users: what the names of namespaces
// tell is for administrators, and for the user itself.
func (c *Catalog) roleCommentRows(env *schema.Env) ([]Row, error) {
	var rows []Row
	for _, role := range c.Roles(env.Session).list {
		if role.Comment != "" && (role.Name == env.Session.User() || env.Session.IsSuperuser()) {
			rows = append(rows, Row{"objoid": oidOf(role.OID), "classoid": oidOf(authidOID), "description": text(role.Comment)})
		}
	}
	return rows, nil
}

// MemberOf are the roles whose privileges a role has, itself first.
func (c *Catalog) MemberOf(s schema.Session, oid types.OID) []types.OID {
	roles := c.Roles(s)
	found := []types.OID{oid}
	if role, ok := roles.ByOID(oid); ok {
		if group, ok := roles.Named(role.Group); ok {
			found = append(found, group.OID)
		}
		return found
	}
	for i := 0; i < len(found); i++ { // PostgreSQL's own roles are in each other
		for r := c.read("pg_auth_members"); r.next(); {
			if group := r.oid("roleid"); r.oid("member") == found[i] && !slices.Contains(found, group) {
				found = append(found, group)
			}
		}
	}
	return found
}

// Access is who may use something, beside the owner.
type Access uint8

const (
	// ForEveryone: reading is for everyone, and nobody writes.
	ForEveryone Access = iota
	// ForWriters: everyone reads; readwrite and admin write, or call.
	ForWriters
	// ForAdmins: everyone reads; administrators, of some namespaces too, write or call.
	ForAdmins
	// ForSuperusers: administrators of all namespaces call.
	ForSuperusers
)

// privileges are what the groups may do with a relation, as relacl has it.
func (r *Relation) privileges() types.Value {
	read, write, admin := "r", "r", "r"
	switch r.Access {
	case ForWriters:
		write, admin = "arwdD", "arwdD"
	case ForAdmins:
		admin = "rw"
	}
	return accessList("arwdDxtm", map[string]string{GroupReadOnly: read, GroupReadWrite: write, GroupAdmin: admin})
}

// functionPrivileges are who may call a function, as proacl has it; NULL: everyone.
func functionPrivileges(access Access) types.Value {
	switch access {
	case ForWriters:
		return accessList("X", map[string]string{GroupReadWrite: "X", GroupAdmin: "X"})
	case ForAdmins:
		return accessList("X", map[string]string{GroupAdmin: "X"})
	case ForSuperusers:
		return accessList("X", nil)
	}
	return types.Null()
}

// accessList is an aclitem[].
func accessList(owner string, groups map[string]string) types.Value {
	items := []types.Value{text(Owner + "=" + owner + "/" + Owner)}
	for _, group := range Groups() {
		if letters := groups[group]; letters != "" {
			items = append(items, text(group+"="+letters+"/"+Owner))
		}
	}
	return types.OfArray(items)
}
