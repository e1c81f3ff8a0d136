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
	reg        types.OID
	letters    string // its privileges, as aclitem has them
	aclKind    string // in acldefault
	everyone   string // what everyone may do unless revoked
	columnArgs bool
}

// objects are the kinds of objects that privileges are asked about.
func objects() []object {
	return []object{
		{name: "table", table: "pg_class", reg: types.RegClass, letters: "arwdDxtm", aclKind: "r"},
		{name: "any_column", table: "pg_class", reg: types.RegClass, letters: "arwx"},
		{name: "column", table: "pg_class", reg: types.RegClass, letters: "arwx", columnArgs: true},
		{name: "sequence", table: "pg_class", reg: types.RegClass, letters: "rwU", aclKind: "s"},
		{name: "schema", table: "pg_namespace", reg: types.RegNamespace, letters: "UC", aclKind: "n"},
		{name: "database", table: "pg_database", letters: "CTc", aclKind: "d", everyone: "Tc"},
		{name: "function", table: "pg_proc", reg: types.RegProcedure, letters: "X", aclKind: "f", everyone: "X"},
		{name: "language", table: "pg_language", letters: "U", aclKind: "l", everyone: "U"},
		{name: "type", table: "pg_type", reg: types.RegType, letters: "U", aclKind: "T", everyone: "U"},
		{name: "tablespace", table: "pg_tablespace", letters: "C", aclKind: "t"},
		{name: "foreign_data_wrapper", table: "pg_foreign_data_wrapper", letters: "U", aclKind: "F"},
		{name: "server", table: "pg_foreign_server", letters: "U", aclKind: "S"},
	}
}

// privilegeNames are the words for the letters of an aclitem.
func privilegeNames() map[byte]string {
	return map[byte]string{'a': "INSERT", 'r': "SELECT", 'w': "UPDATE", 'd': "DELETE", 'D': "TRUNCATE", 'x': "REFERENCES", 't': "TRIGGER",
		'X': "EXECUTE", 'U': "USAGE", 'C': "CREATE", 'T': "TEMPORARY", 'c': "CONNECT", 's': "SET", 'A': "ALTER SYSTEM", 'm': "MAINTAIN"}
}

// privileges are has_…_privilege and pg_has_role. What a role may do with values is a
// setting of its user; over the catalog and the statistics everyone may read.
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
					skip := 0
					if user != "" {
						skip = 1
					}
					signature := "has_" + o.name + "_privilege(" + user + kind + column + ",text)"
					out = append(out, call(signature, func(c *schema.Call, a []value) (value, error) {
						return hasPrivilege(c, &o, a[skip:], kind == "text")
					}))
				}
			}
		}
	}
	member := func(c *schema.Call, a []value) (value, error) { return boolean(true), nil }
	for _, args := range []string{"name,name,text", "name,oid,text", "oid,name,text", "oid,oid,text", "name,text", "oid,text"} {
		out = append(out, call("pg_has_role("+args+")", member))
	}
	return append(out, call("row_security_active(oid)", func(*schema.Call, []value) (value, error) { return boolean(false), nil }))
}

func hasPrivilege(c *schema.Call, o *object, a []value, byName bool) (value, error) {
	exists, err := objectExists(c, o, a[0], byName)
	if err != nil {
		return value{}, err
	}
	for _, wanted := range strings.Split(a[len(a)-1].Text(), ",") {
		name := strings.ToUpper(strings.TrimSpace(wanted))
		name = strings.TrimSuffix(name, " WITH GRANT OPTION")
		if name == "TEMP" {
			name = "TEMPORARY"
		}
		if !slices.ContainsFunc([]byte(o.letters), func(l byte) bool { return privilegeNames()[l] == name }) {
			return value{}, invalidParameter("unrecognized privilege type: \"%s\"", strings.TrimSpace(wanted))
		}
	}
	if !exists {
		return null()
	}
	return boolean(true), nil
}

func objectExists(c *schema.Call, o *object, v value, byName bool) (bool, error) {
	switch {
	case !byName:
		_, ok, err := world(c).FindOne(c.Env, o.table, types.OID(v.Int))
		return ok, err
	case o.reg != 0:
		_, err := c.Style.Names.Find(o.reg, v.Text())
		return err == nil, err
	}
	column := map[string]string{"database": "datname", "language": "lanname", "tablespace": "spcname", "server": "srvname", "foreign_data_wrapper": "fdwname"}[o.name]
	found, err := world(c).Find(c.Env, o.table, column, v)
	if err == nil && len(found) == 0 {
		code := pgwire.CodeUndefinedObject
		if o.name == "database" {
			code = pgwire.CodeInvalidCatalogName
		}
		err = pgwire.Errorf(code, "%s \"%s\" does not exist", strings.ReplaceAll(o.name, "_", "-"), v.Text())
	}
	return err == nil, err
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
	name, ok := world(c).RoleName(owner)
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
		oid, err := world(c).Names(nil).Find(types.RegRole, name)
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
