package catalog

import (
	"slices"
	"strconv"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// names implements types.Names with a search path.
type names struct {
	catalog *Catalog
	path    []string
	session schema.Session // whose roles regrole knows; nil: PostgreSQL's own
}

// Names turns the texts of regclass and its like into OIDs and back, for a search path.
func (c *Catalog) Names(path []string) types.Names { return &names{catalog: c, path: path} }

// SessionNames are Names along the search path of a session, with the roles it sees.
func (c *Catalog) SessionNames(s schema.Session) types.Names {
	return &names{catalog: c, path: s.SearchPath(), session: s}
}

// roles are those that regrole knows.
func (n *names) roles() *Roles {
	if n.session == nil {
		return NewRoles(nil)
	}
	return n.catalog.Roles(n.session)
}

// ParseName splits a name into its parts: folded to lower case unless in quotes.
func ParseName(text string) (parts []string, ok bool) {
	rest := strings.TrimSpace(text)
	for {
		part := ""
		if strings.HasPrefix(rest, `"`) {
			end := 1
			for {
				at := strings.IndexByte(rest[end:], '"')
				if at < 0 {
					return nil, false
				}
				end += at + 1
				if !strings.HasPrefix(rest[end:], `"`) {
					break
				}
				end++
			}
			part, rest = strings.ReplaceAll(rest[1:end-1], `""`, `"`), rest[end:]
		} else {
			end := strings.IndexAny(rest, ". \t\n\"")
			if end < 0 {
				end = len(rest)
			}
			part, rest = strings.ToLower(rest[:end]), rest[end:]
		}
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
		rest = strings.TrimLeft(rest, " \t\n")
		if rest == "" {
			return parts, true
		}
		if rest[0] != '.' {
			return nil, false
		}
		rest = strings.TrimLeft(rest[1:], " \t\n")
	}
}

func errInvalidName() error {
	return pgwire.Errorf(pgwire.CodeInvalidName, "invalid name syntax")
}

// schemas are where to look a name up, and the name itself.
func (n *names) schemas(parts []string) (schemas []string, name string) {
	if len(parts) == 1 {
		return n.path, parts[0]
	}
	return parts[len(parts)-2 : len(parts)-1], parts[len(parts)-1]
}

// Find is the input function of a reg* type.
func (n *names) Find(reg types.OID, text string) (types.OID, error) {
	switch reg {
	case types.RegType:
		return n.findType(text)
	case types.RegOper, types.RegOperator:
		return n.findOperator(reg, text)
	case types.RegProcedure:
		return n.findProcedure(text)
	}
	parts, ok := ParseName(text)
	if !ok {
		return 0, errInvalidName()
	}
	schemas, name := n.schemas(parts)
	switch reg {
	case types.RegClass:
		return n.findClass(parts, schemas, name)
	case types.RegProc:
		return n.findProc(schemas, name, text)
	case types.RegNamespace:
		if oid := n.catalog.namespaceOID(name); oid != 0 && len(parts) == 1 {
			return oid, nil
		}
		return 0, pgwire.Errorf(pgwire.CodeInvalidSchemaName, "schema \"%s\" does not exist", text)
	case types.RegRole:
		if oid := n.catalog.roleOID(n.roles(), name); oid != 0 {
			return oid, nil
		}
		return 0, pgwire.Errorf(pgwire.CodeUndefinedObject, "role \"%s\" does not exist", text)
	}
	table, column, what := namedTable(reg)
	for _, s := range schemas {
		if oid := n.catalog.lookupOID(table, column, name, s); oid != 0 {
			return oid, nil
		}
	}
	return 0, pgwire.Errorf(pgwire.CodeUndefinedObject, "%s \"%s\" does not exist", what, text)
}

// namedTable is where the rest of the reg* types look names up.
func namedTable(reg types.OID) (table, column, what string) {
	switch reg {
	case types.RegCollation:
		return "pg_collation", "collname", "collation"
	case types.RegConfig:
		return "pg_ts_config", "cfgname", "text search configuration"
	}
	return "pg_ts_dict", "dictname", "text search dictionary"
}

// lookupOID finds a row of a system table by name, and by schema unless that is empty.
func (c *Catalog) lookupOID(table, column, name, schemaName string) types.OID {
	for r := c.read(table); r.next(); {
		if r.text(column) == name && (schemaName == "" || c.relations().namespaces[r.oid(strings.TrimSuffix(column, "name")+"namespace")] == schemaName) {
			return r.oid("oid")
		}
	}
	return 0
}

func (n *names) findClass(parts, schemas []string, name string) (types.OID, error) {
	for _, s := range schemas {
		if r := n.catalog.Relation(s, name); r != nil {
			return r.OID, nil
		}
		if oid := n.catalog.indexNamed(s, name); oid != 0 {
			return oid, nil
		}
	}
	return 0, pgwire.Errorf(pgwire.CodeUndefinedTable, "relation \"%s\" does not exist", strings.Join(parts, "."))
}

// indexNamed finds what is in pg_class and no relation: indexes.
func (c *Catalog) indexNamed(schemaName, name string) types.OID {
	if schemaName == Public {
		for i := range c.config.Relations {
			if r := &c.config.Relations[i]; len(r.Key) > 0 && name == r.Name+"_pkey" {
				return r.indexOID()
			}
		}
		return 0
	}
	return c.lookupOID("pg_class", "relname", name, schemaName)
}

func (n *names) findProc(schemas []string, name, text string) (types.OID, error) {
	for _, s := range schemas {
		switch list := n.catalog.Functions(s, name); {
		case len(list) == 1:
			return list[0].OID, nil
		case len(list) > 1:
			return 0, pgwire.Errorf(pgwire.CodeAmbiguousFunction, "more than one function named \"%s\"", text)
		}
	}
	return 0, pgwire.Errorf(pgwire.CodeUndefinedFunction, "function \"%s\" does not exist", text)
}

// findProcedure reads name(type, …).
func (n *names) findProcedure(text string) (types.OID, error) {
	name, args, err := n.signature(text)
	if err != nil {
		return 0, err
	}
	schemas, last := n.schemas(name)
	for _, s := range schemas {
		for _, f := range n.catalog.Functions(s, last) {
			if slices.Equal(f.Args, args) {
				return f.OID, nil
			}
		}
	}
	return 0, pgwire.Errorf(pgwire.CodeUndefinedFunction, "function \"%s\" does not exist", text)
}

// signature reads name(type, …); a type NONE is 0.
func (n *names) signature(text string) (name []string, args []types.OID, err error) {
	open := strings.IndexByte(text, '(')
	if open < 0 {
		return nil, nil, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "expected a left parenthesis")
	}
	if !strings.HasSuffix(strings.TrimSpace(text), ")") {
		return nil, nil, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "expected a right parenthesis")
	}
	name, ok := ParseName(text[:open])
	if !ok {
		name = strings.Split(strings.TrimSpace(text[:open]), ".") // of an operator
	}
	inside := strings.TrimSuffix(strings.TrimSpace(text[open+1:]), ")")
	if strings.TrimSpace(inside) == "" {
		return name, nil, nil
	}
	for _, arg := range strings.Split(inside, ",") {
		if strings.EqualFold(strings.TrimSpace(arg), "none") {
			args = append(args, 0)
			continue
		}
		oid, err := n.findType(arg)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, oid)
	}
	return name, args, nil
}

func (n *names) findOperator(reg types.OID, text string) (types.OID, error) {
	parts, args := strings.Split(text, "."), []types.OID(nil)
	if reg == types.RegOperator {
		var err error
		if parts, args, err = n.signature(text); err != nil {
			return 0, err
		}
		if len(args) != 2 {
			return 0, pgwire.Errorf(pgwire.CodeUndefinedParameter, "missing argument")
		}
	}
	schemas, name := n.schemas(parts)
	for _, s := range schemas {
		list := n.catalog.Operators(s, name)
		for _, o := range list {
			if reg == types.RegOperator && o.Left == args[0] && o.Right == args[1] || reg == types.RegOper && len(list) == 1 {
				return o.OID, nil
			}
		}
		if len(list) > 1 && reg == types.RegOper {
			return 0, pgwire.Errorf(pgwire.CodeAmbiguousFunction, "more than one operator named %s", text)
		}
	}
	return 0, pgwire.Errorf(pgwire.CodeUndefinedFunction, "operator does not exist: %s", text)
}

// findType reads a type as SQL writes it, modifiers left out.
func (n *names) findType(text string) (types.OID, error) {
	name := strings.TrimSpace(text)
	elem, isArray := name, false
	for strings.HasSuffix(elem, "]") {
		open := strings.LastIndexByte(elem, '[')
		if open < 0 {
			break
		}
		elem, isArray = strings.TrimSpace(elem[:open]), true
	}
	if open := strings.IndexByte(elem, '('); open >= 0 && !strings.HasPrefix(elem, `"`) {
		if end := strings.IndexByte(elem, ')'); end > open {
			elem = strings.TrimSpace(elem[:open]) + elem[end+1:]
		}
	}
	oid := n.sqlType(elem)
	if oid == 0 {
		return 0, pgwire.Errorf(pgwire.CodeUndefinedObject, "type \"%s\" does not exist", name)
	}
	if isArray {
		oid = n.catalog.Type(oid).Array
	}
	return oid, nil
}

// ParseType reads a type as SQL writes it, with its modifiers.
func (c *Catalog) ParseType(text string, path []string) (oid types.OID, modifiers []int64, err error) {
	if oid, err = (&names{catalog: c, path: path}).findType(text); err != nil {
		return 0, nil, err
	}
	_, rest, ok := strings.Cut(text, "(")
	inside, _, closed := strings.Cut(rest, ")")
	if !ok || !closed {
		return oid, nil, nil
	}
	for part := range strings.SplitSeq(inside, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 32)
		if err != nil {
			return 0, nil, pgwire.Errorf(pgwire.CodeSyntaxError, "invalid type name \"%s\"", text)
		}
		modifiers = append(modifiers, n)
	}
	return oid, modifiers, nil
}

func (n *names) sqlType(name string) types.OID {
	folded := strings.Join(strings.Fields(strings.ToLower(name)), " ")
	if folded == "char" {
		return types.BPChar // unless in quotes
	}
	if oid := types.ByName(folded); oid != 0 {
		return oid
	}
	parts, ok := ParseName(name)
	if !ok {
		return 0
	}
	schemas, last := n.schemas(parts)
	for _, s := range schemas {
		if t := n.catalog.TypeNamed(s, last); t != nil {
			return t.OID
		}
	}
	return 0
}

// Show is the output function of a reg* type.
func (n *names) Show(reg, oid types.OID) (string, bool) {
	c := n.catalog
	switch reg {
	case types.RegClass:
		if r := c.relations().byOID[oid]; r != nil {
			return n.qualify(r.Schema, r.Name, func(s string) bool { return c.Relation(s, r.Name) != nil }), true
		}
		return n.showIndex(oid)
	case types.RegType:
		if c.Type(oid) == nil {
			return "", false
		}
		return c.FormatType(oid, NoModifier, n.path), true
	case types.RegProc, types.RegProcedure:
		return n.showFunction(reg, oid)
	case types.RegOper, types.RegOperator:
		return n.showOperator(reg, oid)
	case types.RegNamespace:
		name, ok := c.relations().namespaces[oid]
		return QuoteIdentifier(name), ok
	case types.RegRole:
		name, ok := c.roleName(n.roles(), oid)
		return QuoteIdentifier(name), ok
	}
	table, column, _ := namedTable(reg)
	for r := c.read(table); r.next(); {
		if r.oid("oid") == oid {
			return QuoteIdentifier(r.text(column)), true
		}
	}
	return "", false
}

// RoleName is the name of a role that a session sees.
func (c *Catalog) RoleName(s schema.Session, oid types.OID) (string, bool) {
	return c.roleName(c.Roles(s), oid)
}

func (c *Catalog) roleName(roles *Roles, oid types.OID) (string, bool) {
	if role, ok := roles.ByOID(oid); ok {
		return role.Name, true
	}
	for r := c.read("pg_authid"); r.next(); {
		if r.oid("oid") == oid {
			return r.text("rolname"), true
		}
	}
	return "", false
}

// qualify puts the schema before a name that the search path does not find.
func (n *names) qualify(schemaName, name string, exists func(schema string) bool) string {
	for _, s := range n.path {
		if s == schemaName {
			return QuoteIdentifier(name)
		}
		if exists(s) {
			break
		}
	}
	return QuoteIdentifier(schemaName) + "." + QuoteIdentifier(name)
}

func (n *names) showIndex(oid types.OID) (string, bool) {
	for i := range n.catalog.config.Relations {
		if r := &n.catalog.config.Relations[i]; r.indexOID() == oid && len(r.Key) > 0 {
			return n.qualify(Public, r.Name+"_pkey", func(string) bool { return false }), true
		}
	}
	for r := n.catalog.read("pg_class"); r.next(); {
		if r.oid("oid") == oid {
			return n.qualify(n.catalog.relations().namespaces[r.oid("relnamespace")], r.text("relname"), func(string) bool { return false }), true
		}
	}
	return "", false
}

func (n *names) showFunction(reg, oid types.OID) (string, bool) {
	f := n.catalog.FunctionByOID(oid)
	if f == nil {
		return "", false
	}
	isAmbiguous := false
	name := n.qualify(f.Schema, f.Name, func(s string) bool {
		for _, other := range n.catalog.Functions(s, f.Name) {
			if reg == types.RegProc || slices.Equal(other.Args, f.Args) {
				return true
			}
		}
		return false
	})
	if reg == types.RegProc {
		isAmbiguous = len(n.catalog.Functions(f.Schema, f.Name)) > 1
		if isAmbiguous {
			name = QuoteIdentifier(f.Schema) + "." + QuoteIdentifier(f.Name)
		}
		return name, true
	}
	return name + "(" + n.typeList(f.Args) + ")", true
}

func (n *names) typeList(args []types.OID) string {
	parts := make([]string, len(args))
	for i, arg := range args {
		parts[i] = n.catalog.FormatType(arg, NoModifier, n.path)
		if arg == 0 {
			parts[i] = "NONE"
		}
	}
	return strings.Join(parts, ",")
}

func (n *names) showOperator(reg, oid types.OID) (string, bool) {
	o := n.catalog.operators().byOID[oid]
	switch {
	case o == nil:
		return "", false
	case reg == types.RegOperator:
		return o.Name + "(" + n.typeList([]types.OID{o.Left, o.Right}) + ")", true
	case len(n.catalog.Operators(o.Schema, o.Name)) > 1:
		return o.Schema + "." + o.Name, true
	}
	return o.Name, true
}

// QuoteIdentifier quotes a name unless it needs no quotes.
func QuoteIdentifier(name string) string {
	plain := name != "" && !isKeyword(name)
	for i, c := range []byte(name) {
		plain = plain && (c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9')
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// NoModifier says that a type is shown without regard to modifiers: -1 says it has none.
const NoModifier = -2

// FormatType is a type as SQL writes it, with its modifier.
func (c *Catalog) FormatType(oid types.OID, typmod int32, path []string) string {
	if oid == 0 {
		return "-"
	}
	t := c.Type(oid)
	if t == nil {
		return "???"
	}
	if t.IsArray && oid != types.Int2Vector && oid != types.OidVector {
		return c.FormatType(t.Elem, typmod, path) + "[]"
	}
	if known := types.Lookup(oid); known != nil {
		return withModifier(oid, known.Name, typmod)
	}
	n := &names{catalog: c, path: path}
	return n.qualify(t.Schema, t.Name, func(s string) bool { return c.TypeNamed(s, t.Name) != nil })
}

// withModifier writes a type modifier where SQL has it.
func withModifier(oid types.OID, name string, typmod int32) string {
	const header = 4
	if typmod < 0 {
		if oid == types.BPChar && typmod == -1 {
			return "bpchar" // character is character(1)
		}
		return name
	}
	precision := "(" + strconv.Itoa(int(typmod)) + ")"
	switch oid {
	case types.VarChar, types.BPChar:
		return name + "(" + strconv.Itoa(int(typmod-header)) + ")"
	case types.Numeric:
		m := typmod - header
		return name + "(" + strconv.Itoa(int(m>>16&0xffff)) + "," + strconv.Itoa(int((m&0x7ff^0x400)-0x400)) + ")"
	case types.Bit, types.VarBit:
		return name + precision
	case types.Timestamp, types.TimestampTZ, types.Time, types.TimeTZ:
		kind, zone, _ := strings.Cut(name, " ")
		return kind + precision + " " + zone
	}
	return name
}

var _ types.Names = (*names)(nil)
