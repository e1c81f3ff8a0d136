package library

import (
	"slices"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// object is a kind of object that has privileges.
type object struct {
	name       string // in has_…_privilege
	table      string // where its OIDs are
	acl, owner string // the columns with its privileges and its owner
	reg        types.OID
	letters    string // its privileges, as aclitem has them
	aclKind    string // in acldefault
	everyone   string // what everyone may do unless revoked
	columnArgs bool
}

// objects are the kinds of objects that privileges are asked about.
func objects() []object {
	return []object{
		{name: "table", table: "pg_class", acl: "relacl", owner: "relowner", reg: types.RegClass, letters: "arwdDxtm", aclKind: "r"},
		{name: "any_column", table: "pg_class", acl: "relacl", owner: "relowner", reg: types.RegClass, letters: "arwx", aclKind: "r"},
		{name: "column", table: "pg_class", acl: "relacl", owner: "relowner", reg: types.RegClass, letters: "arwx", aclKind: "r", columnArgs: true},
		{name: "sequence", table: "pg_class", acl: "relacl", owner: "relowner", reg: types.RegClass, letters: "rwU", aclKind: "s"},
		{name: "schema", table: "pg_namespace", acl: "nspacl", owner: "nspowner", reg: types.RegNamespace, letters: "UC", aclKind: "n"},
		{name: "database", table: "pg_database", acl: "datacl", owner: "datdba", letters: "CTc", aclKind: "d", everyone: "Tc"},
		{name: "function", table: "pg_proc", acl: "proacl", owner: "proowner", reg: types.RegProcedure, letters: "X", aclKind: "f", everyone: "X"},
		{name: "language", table: "pg_language", acl: "lanacl", owner: "lanowner", letters: "U", aclKind: "l", everyone: "U"},
		{name: "type", table: "pg_type", acl: "typacl", owner: "typowner", reg: types.RegType, letters: "U", aclKind: "T", everyone: "U"},
		{name: "tablespace", table: "pg_tablespace", acl: "spcacl", owner: "spcowner", letters: "C", aclKind: "t"},
		{name: "foreign_data_wrapper", table: "pg_foreign_data_wrapper", acl: "fdwacl", owner: "fdwowner", letters: "U", aclKind: "F"},
		{name: "server", table: "pg_foreign_server", acl: "srvacl", owner: "srvowner", letters: "U", aclKind: "S"},
	}
}

// privilegeNames are the words for the letters of an aclitem.
func privilegeNames() map[byte]string {
	return map[byte]string{'a': "INSERT", 'r': "SELECT", 'w': "UPDATE", 'd': "DELETE", 'D': "TRUNCATE", 'x': "REFERENCES", 't': "TRIGGER",
		'X': "EXECUTE", 'U': "USAGE", 'C': "CREATE", 'T': "TEMPORARY", 'c': "CONNECT", 's': "SET", 'A': "ALTER SYSTEM", 'm': "MAINTAIN"}
}

// privileges are has_…_privilege and pg_has_role.
func privileges() []implementation {
	var out []implementation
	for _, o := range objects() {
		objects := []string{"text", "oid"}
		columns := []string{""}
		if o.columnArgs {
			columns = []string{",text", ",int2"}
		}
		for _, user := range []string{"", "name,", "oid,"} {
			for _, kind := range objects {
				for _, column := range columns {
					signature := "has_" + o.name + "_privilege(" + user + kind + column + ",text)"
					out = append(out, call(signature, func(c *schema.Call, a []value) (value, error) {
						g, a, err := granteeOf(c, user, a)
						if err != nil {
							return value{}, err
						}
						return hasPrivilege(c, g, &o, a, kind == "text")
					}))
				}
			}
		}
	}
	for _, user := range []string{"", "name,", "oid,"} {
		for _, kind := range []string{"name", "oid"} {
			out = append(out, call("pg_has_role("+user+kind+",text)", func(c *schema.Call, a []value) (value, error) {
				g, a, err := granteeOf(c, user, a)
				if err != nil {
					return value{}, err
				}
				return hasRole(c, g, a, kind == "name")
			}))
		}
	}
	return append(out, call("row_security_active(oid)", func(*schema.Call, []value) (value, error) { return boolean(false), nil }))
}

// grantee is whose privileges are asked for.
type grantee struct {
	oid  types.OID     // 0: everyone
	role *catalog.Role // nil: none of pgcache's
}

// granteeOf is the role that the first argument names, or the session's user if the function
// has none, and the arguments after it.
func granteeOf(c *schema.Call, kind string, a []value) (grantee, []value, error) {
	roles := world(c).Roles(c.Session)
	switch kind {
	case "":
		role, _ := roles.Named(c.Session.User())
		g := grantee{role: role}
		if role != nil {
			g.oid = role.OID
		}
		return g, a, nil
	case "oid,":
		oid := types.OID(a[0].Int)
		role, _ := roles.ByOID(oid)
		return grantee{oid, role}, a[1:], nil
	}
	if a[0].Text() == "public" {
		return grantee{}, a[1:], nil
	}
	oid, err := roleNamed(c, a[0].Text())
	role, _ := roles.ByOID(oid)
	return grantee{oid, role}, a[1:], err
}

func roleNamed(c *schema.Call, name string) (types.OID, error) {
	oid := world(c).RoleOID(c.Session, name)
	if oid == 0 {
		return 0, pgwire.Errorf(pgwire.CodeUndefinedObject, "role \"%s\" does not exist", name)
	}
	return oid, nil
}

// hasRole is pg_has_role: USAGE and MEMBER are the same here, and SET is for oneself.
func hasRole(c *schema.Call, g grantee, a []value, byName bool) (value, error) {
	of := types.OID(a[0].Int)
	if byName {
		var err error
		if of, err = roleNamed(c, a[0].Text()); err != nil {
			return value{}, err
		}
	}
	isMember := g.role != nil && g.role.IsSuper
	isSuper := isMember
	if !isSuper {
		isMember = slices.Contains(world(c).MemberOf(c.Session, g.oid), of)
	}
	has := false
	for _, wanted := range strings.Split(a[1].Text(), ",") {
		switch strings.ToUpper(strings.TrimSpace(wanted)) {
		case "USAGE", "MEMBER":
			has = has || isMember
		case "SET":
			has = has || isSuper || g.oid == of
		case "USAGE WITH GRANT OPTION", "USAGE WITH ADMIN OPTION", "MEMBER WITH GRANT OPTION", "MEMBER WITH ADMIN OPTION", "SET WITH GRANT OPTION", "SET WITH ADMIN OPTION":
			has = has || isSuper
		default:
			return value{}, invalidParameter("unrecognized privilege type: \"%s\"", strings.TrimSpace(wanted))
		}
	}
	return boolean(has), nil
}

// hasPrivilege decides as PostgreSQL does: a superuser may do everything, others what the
// list of the object gives to everyone, to themselves or to a group of theirs. That list is
// of relations as a whole, not of columns.
func hasPrivilege(c *schema.Call, g grantee, o *object, a []value, byName bool) (value, error) {
	row, exists, err := findObject(c, o, a[0], byName)
	if err != nil {
		return value{}, err
	}
	if exists && o.columnArgs {
		if exists, err = columnExists(c, row.OID("oid"), a[1]); err != nil {
			return value{}, err
		}
	}
	wanted, err := o.wanted(a[len(a)-1].Text())
	if err != nil || !exists {
		return types.Null(), err
	}
	if g.role != nil && g.role.IsSuper {
		return boolean(true), nil
	}
	given, err := grantedTo(c, g, o, row)
	if err != nil {
		return value{}, err
	}
	for _, w := range wanted {
		if strings.IndexByte(given, w.letter) >= 0 && (!w.withGrant || g.oid == row.OID(o.owner)) {
			return boolean(true), nil
		}
	}
	return boolean(false), nil
}

// wantedPrivilege is a privilege that is asked about.
type wantedPrivilege struct {
	letter    byte
	withGrant bool // and the right to pass it on
}

// wanted reads a list of privileges.
func (o *object) wanted(list string) ([]wantedPrivilege, error) {
	var out []wantedPrivilege
	for _, word := range strings.Split(list, ",") {
		name, withGrant := strings.CutSuffix(strings.ToUpper(strings.TrimSpace(word)), " WITH GRANT OPTION")
		if name == "TEMP" {
			name = "TEMPORARY"
		}
		at := slices.IndexFunc([]byte(o.letters), func(l byte) bool { return privilegeNames()[l] == name })
		if at < 0 {
			return nil, invalidParameter("unrecognized privilege type: \"%s\"", strings.TrimSpace(word))
		}
		out = append(out, wantedPrivilege{o.letters[at], withGrant})
	}
	return out, nil
}

// grantedTo are the letters of what a role may do with an object.
func grantedTo(c *schema.Call, g grantee, o *object, row catalog.Tuple) (string, error) {
	list := row.Get(o.acl)
	if list.IsNull {
		var err error
		if list, err = defaultPrivileges(c, o, row.OID(o.owner)); err != nil {
			return "", err
		}
	}
	names := []string{""}
	for _, oid := range world(c).MemberOf(c.Session, g.oid) {
		if name, ok := world(c).RoleName(c.Session, oid); ok {
			names = append(names, name)
		}
	}
	given := ""
	for _, item := range list.Elems {
		name, rest, _ := strings.Cut(item.Text(), "=")
		if letters, _, _ := strings.Cut(rest, "/"); slices.Contains(names, name) {
			given += letters
		}
	}
	if g.role != nil && g.role.IsLimited && o.table == "pg_class" {
		given = strings.ReplaceAll(given, "D", "") // it reaches all namespaces
	}
	return given, nil
}

// columnExists reports whether a relation has a column, by name (else 42703) or number.
func columnExists(c *schema.Call, relation types.OID, column value) (bool, error) {
	found, err := world(c).Find(c.Env, "pg_attribute", "attrelid", number(int64(relation)))
	if err != nil {
		return false, err
	}
	for _, a := range found {
		if column.Bytes == nil && a.Get("attnum").Int == column.Int || column.Bytes != nil && a.Text("attname") == column.Text() {
			return true, nil
		}
	}
	if column.Bytes == nil {
		return false, nil
	}
	name, _ := world(c).Names(c.Session.SearchPath()).Show(types.RegClass, relation)
	return false, pgwire.Errorf(pgwire.CodeUndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", column.Text(), name)
}

// findObject finds what privileges are asked about: no object has an unknown OID, an unknown
// name is an error.
func findObject(c *schema.Call, o *object, v value, byName bool) (catalog.Tuple, bool, error) {
	if !byName {
		return world(c).FindOne(c.Env, o.table, types.OID(v.Int))
	}
	if o.reg != 0 {
		oid, err := c.Style.Names.Find(o.reg, v.Text())
		if err != nil {
			return catalog.Tuple{}, false, err
		}
		return world(c).FindOne(c.Env, o.table, oid)
	}
	column := map[string]string{"database": "datname", "language": "lanname", "tablespace": "spcname", "server": "srvname", "foreign_data_wrapper": "fdwname"}[o.name]
	found, err := world(c).Find(c.Env, o.table, column, v)
	if err != nil || len(found) > 0 {
		return append(found, catalog.Tuple{})[0], err == nil, err
	}
	code := pgwire.CodeUndefinedObject
	if o.name == "database" {
		code = pgwire.CodeInvalidCatalogName
	}
	return catalog.Tuple{}, false, pgwire.Errorf(code, "%s \"%s\" does not exist", strings.ReplaceAll(o.name, "_", "-"), v.Text())
}

// privilegeLists take lists of privileges apart.
func privilegeLists() []implementation {
	return []implementation{
		list("aclexplode(aclitem[])", func(c *schema.Call, a []value) ([]value, error) {
			var out []value
			for _, item := range a[0].Elems {
				rows, err := explode(c, item.Text())
				if err != nil {
					return nil, err
				}
				out = append(out, rows...)
			}
			return out, nil
		}),
		call("acldefault(char,oid)", func(c *schema.Call, a []value) (value, error) {
			for _, o := range objects() {
				if o.aclKind != "" && o.aclKind == a[0].Text() {
					return defaultPrivileges(c, &o, types.OID(a[1].Int))
				}
			}
			if a[0].Text() == "c" {
				return types.OfArray([]value{}), nil
			}
			return value{}, pgwire.Errorf(pgwire.CodeInternalError, "unrecognized object type abbreviation: %s", a[0].Text())
		}),
		list("pg_options_to_table(text[])", func(_ *schema.Call, a []value) ([]value, error) {
			return mapped(a[0].Elems, func(v value) value {
				name, setting, ok := strings.Cut(v.Text(), "=")
				out := []value{text(name), text(setting)}
				if !ok {
					out[1] = types.Null()
				}
				return value{Elems: out}
			}), nil
		}),
	}
}

func defaultPrivileges(c *schema.Call, o *object, owner types.OID) (value, error) {
	name, ok := world(c).RoleName(c.Session, owner)
	if !ok {
		name = catalog.Owner
	}
	var out []value
	if o.everyone != "" {
		out = append(out, text("="+o.everyone+"/"+name))
	}
	return types.OfArray(append(out, text(name+"="+o.letters+"/"+name))), nil
}

// explode makes a row a privilege of grantee=letters/grantor; * says that it may be passed on.
func explode(c *schema.Call, item string) ([]value, error) {
	grantee, rest, ok1 := strings.Cut(item, "=")
	letters, grantor, ok2 := strings.Cut(rest, "/")
	if !ok1 || !ok2 {
		return nil, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid aclitem: \"%s\"", item)
	}
	role := func(name string) (value, error) {
		if name == "" {
			return number(0), nil
		}
		oid, err := roleNamed(c, name)
		return number(int64(oid)), err
	}
	to, err := role(grantee)
	if err != nil {
		return nil, err
	}
	from, err := role(grantor)
	if err != nil {
		return nil, err
	}
	var out []value
	for i := 0; i < len(letters); i++ {
		name, ok := privilegeNames()[letters[i]]
		if !ok {
			continue
		}
		mayGrant := i+1 < len(letters) && letters[i+1] == '*'
		out = append(out, value{Elems: []value{from, to, text(name), boolean(mayGrant)}})
	}
	return out, nil
}
