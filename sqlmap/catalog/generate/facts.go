package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pgcache/sqlmap/catalog/snapshot"
	"pgcache/sqlmap/types"
)

// firstUserOID is the first OID that PostgreSQL gives to objects of users.
const firstUserOID = 16384

// dynamic are the tables whose rows a server makes itself, and those that hold prose.
var dynamic = []string{"pg_database", "pg_description", "pg_shdescription", "pg_shdepend", "pg_statistic", "pg_statistic_ext_data", "pg_largeobject"}

// bootstrapUser is the role that made the cluster: its name is not PostgreSQL's.
const bootstrapUser = "10"

// blanked are the columns that hold source text, or facts about one server.
var blanked = map[string][]string{
	"pg_rewrite":    {"ev_action"},
	"pg_constraint": {"conbin"},
	"pg_proc":       {"prosqlbody"},
	"pg_index":      {"indexprs", "indpred"},
	"pg_collation":  {"collversion"},
}

// facts are the tables to be written, in a fixed order.
func (s *source) facts() ([]snapshot.Content, error) {
	names := make([]string, 0, len(s.tables))
	for name := range s.tables {
		names = append(names, name)
	}
	slices.Sort(names)
	extensions := s.extensions()
	var out []snapshot.Content
	for _, full := range names {
		schema, name, _ := strings.Cut(full, ".")
		if schema != "pg_catalog" && schema != "information_schema" || slices.Contains(dynamic, name) {
			continue
		}
		t := s.tables[full]
		content := snapshot.Content{Schema: schema, Name: name}
		for i, column := range t.columns {
			oid := baseType(t.types[i])
			if oid == 0 {
				if slices.ContainsFunc(t.rows, func(row []*string) bool { return row[i] != nil }) {
					return nil, fmt.Errorf("%s.%s has type %s", full, column, t.types[i])
				}
				oid = types.Text // there are only NULLs
			}
			content.Columns = append(content.Columns, snapshot.Column{Name: column, Type: oid})
		}
		for _, row := range t.rows {
			if t.isOfUser(row) || t.isAbout(row, extensions) || name == "pg_authid" && t.cell(row, "oid") == bootstrapUser {
				continue
			}
			s.renameOwner(t, row)
			if err := s.strip(name, t, row); err != nil {
				return nil, err
			}
			content.Rows = append(content.Rows, row)
		}
		out = append(out, content)
	}
	return out, nil
}

// baseType finds a type by the name that format_type gives it; domains stand for what they
// are over.
func baseType(name string) types.OID {
	switch name {
	case "information_schema.cardinal_number":
		return types.Int4
	case "information_schema.character_data", "information_schema.yes_or_no":
		return types.VarChar
	}
	return types.ByName(name)
}

// renameOwner puts pgcache's name for the role that owns the catalog into privileges.
func (s *source) renameOwner(t *table, row []*string) {
	roles := s.tables["pg_catalog.pg_authid"]
	name := ""
	for _, role := range roles.rows {
		if roles.cell(role, "oid") == bootstrapUser {
			name = roles.cell(role, "rolname")
		}
	}
	for i, typeName := range t.types {
		if typeName == "aclitem[]" && row[i] != nil {
			text := strings.NewReplacer(name+"=", snapshot.Owner+"=", "/"+name, "/"+snapshot.Owner).Replace(*row[i])
			row[i] = &text
		}
	}
}

// isOfUser reports a row about an object of a user.
func (t *table) isOfUser(row []*string) bool {
	for i, typeName := range t.types {
		if typeName != "oid" || row[i] == nil {
			continue
		}
		if n, err := strconv.ParseUint(*row[i], 10, 32); err == nil && n >= firstUserOID {
			return true
		}
	}
	return false
}

// extensions are the OIDs of extensions and of what is in them. There are none in pgcache:
// a client that finds plpgsql would go on to send DO.
func (s *source) extensions() map[string]bool {
	const extensionClass = "3079"
	found := make(map[string]bool)
	t := s.tables["pg_catalog.pg_depend"]
	for _, row := range t.rows {
		if t.cell(row, "refclassid") == extensionClass {
			found[t.cell(row, "objid")], found[t.cell(row, "refobjid")] = true, true
		}
	}
	return found
}

// isAbout reports a row that is one of some objects, or names one as what it is about.
func (t *table) isAbout(row []*string, oids map[string]bool) bool {
	for _, column := range []string{"oid", "objid", "objoid", "refobjid"} {
		if i := t.position(column); i >= 0 && row[i] != nil && oids[*row[i]] {
			return true
		}
	}
	return false
}

// strip takes source text out of a row.
func (s *source) strip(name string, t *table, row []*string) error {
	empty := ""
	for _, column := range blanked[name] {
		if i := t.position(column); i >= 0 && row[i] != nil {
			row[i] = &empty
			if name == "pg_proc" || name == "pg_index" || name == "pg_collation" {
				row[i] = nil
			}
		}
	}
	if name != "pg_proc" {
		return nil
	}
	const internal, c = "12", "13" // languages whose source is the name of a C function
	if language := t.cell(row, "prolang"); language != internal && language != c {
		row[t.position("prosrc")] = &empty
	}
	at := t.position("proargdefaults")
	if row[at] == nil {
		return nil
	}
	defaults, err := defaultsOf(*row[at], s.typeName)
	row[at] = &defaults
	return err
}

// typeName is the SQL name of a type of pg_type.
func (s *source) typeName(oid string) string {
	n, err := strconv.ParseUint(oid, 10, 32)
	if err != nil {
		return oid
	}
	return types.OID(n).String()
}
