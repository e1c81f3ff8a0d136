package catalog

import (
	"slices"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// relationIndex finds relations and schemas.
type relationIndex struct {
	namespaces map[types.OID]string
	byOID      map[types.OID]*schema.Relation
	byName     map[[2]string]*schema.Relation
	kinds      map[types.OID]byte
	notNull    map[types.OID][]bool
}

func (c *Catalog) indexRelations() *relationIndex {
	x := &relationIndex{namespaces: make(map[types.OID]string), byOID: make(map[types.OID]*schema.Relation),
		byName: make(map[[2]string]*schema.Relation), kinds: make(map[types.OID]byte), notNull: make(map[types.OID][]bool)}
	for r := c.read("pg_namespace"); r.next(); {
		x.namespaces[r.oid("oid")] = r.text("nspname")
	}
	for r := c.read("pg_class"); r.next(); {
		if kind := r.char("relkind"); kind == 'r' || kind == 'v' {
			relation := &schema.Relation{OID: r.oid("oid"), Schema: x.namespaces[r.oid("relnamespace")], Name: r.text("relname"), RowType: r.oid("reltype"),
				IsRestricted: !isForEveryone(r.value("relacl"))}
			x.byOID[relation.OID], x.kinds[relation.OID] = relation, kind
			x.byName[[2]string{relation.Schema, relation.Name}] = relation
		}
	}
	for r := c.read("pg_attribute"); r.next(); {
		relation := x.byOID[r.oid("attrelid")]
		if relation == nil || r.int("attnum") <= 0 {
			continue
		}
		relation.Columns = append(relation.Columns, schema.Column{Name: r.text("attname"), Type: r.oid("atttypid"),
			Typmod: int32(r.int("atttypmod")), Collation: r.oid("attcollation"), Number: int16(r.int("attnum"))})
		x.notNull[relation.OID] = append(x.notNull[relation.OID], r.bool("attnotnull"))
	}
	for r := c.read("pg_index"); r.next(); {
		if relation := x.byOID[r.oid("indrelid")]; relation != nil && r.bool("indisprimary") {
			for _, n := range r.value("indkey").Elems {
				relation.Key = append(relation.Key, int(n.Int)-1)
			}
		}
	}
	domains := c.domainNames()
	for _, relation := range x.byOID {
		if relation.View = viewText(relation, domains); relation.View == "" {
			c.attachSource(x, relation)
		}
	}
	for i := range c.config.Relations {
		own := &c.config.Relations[i]
		x.byOID[own.OID], x.kinds[own.OID] = &own.Relation, own.kind()
		x.byName[[2]string{Public, own.Name}] = &own.Relation
	}
	return x
}

// isForEveryone reports that everyone may read what has a list of privileges.
func isForEveryone(list types.Value) bool {
	return slices.ContainsFunc(texts(list), func(item string) bool {
		letters, ok := strings.CutPrefix(item, "=")
		letters, _, _ = strings.Cut(letters, "/")
		return ok && strings.Contains(letters, "r")
	})
}

// attachSource gives a system relation what makes its rows: the snapshot or the server.
func (c *Catalog) attachSource(x *relationIndex, relation *schema.Relation) {
	table := c.snapshot.Table(relation.Schema, relation.Name)
	rows := c.liveRows(relation.Name)
	if table == nil && rows == nil && !isEmptyHere(relation.Name) && !hasOwnRows(relation.Name) {
		relation.Source = unsupported(relation.Name)
		return
	}
	s := &systemTable{catalog: c, relation: relation, notNull: x.notNull[relation.OID], table: table, rows: rows}
	for _, column := range relation.Columns {
		at := -1
		if table != nil {
			at = table.Position(column.Name)
			relation.Rows = int64(table.Len())
		}
		s.positions = append(s.positions, at)
	}
	if relation.Name == "pg_class" {
		s.refresh = c.refreshClass(relation)
	}
	relation.Former = formerNames(relation.Name)
	s.indexes = make([]index, len(relation.Columns))
	for i := range relation.Columns {
		if isIndexable(relation.Columns[i].Type) {
			relation.Lookup = append(relation.Lookup, i)
		}
	}
	relation.Source = s
}

// formerNames are the names that columns of a table had in PostgreSQL 15 and 16: psql of
// those versions asks for them whatever the server's version.
func formerNames(table string) map[string]string {
	switch table {
	case "pg_database":
		return map[string]string{"daticulocale": "datlocale"}
	case "pg_collation":
		return map[string]string{"colliculocale": "colllocale"}
	}
	return nil
}

// liveRows are those that are made when a table is read.
func (c *Catalog) liveRows(name string) Rows {
	switch name {
	case "pg_authid":
		return c.roleRows
	case "pg_auth_members":
		return c.memberRows
	case "pg_db_role_setting":
		return c.roleSettingRows
	case "pg_shdescription":
		return c.roleCommentRows
	case "pg_database":
		return func(env *schema.Env) ([]Row, error) { return databases(env), nil }
	}
	return c.config.Rows[name]
}

// unsupported is a relation that exists and that nothing here has rows for.
type unsupported string

func (name unsupported) Open(*schema.Env, *schema.Request) (schema.Rows, error) {
	return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "system relation \"%s\" is not supported", string(name))
}

// isEmptyHere names what pgcache never has any of.
func isEmptyHere(name string) bool {
	return slices.Contains([]string{
		"pg_statistic", "pg_statistic_ext_data", "pg_largeobject", "pg_shdepend", "pg_prepared_xacts", "pg_locks",
		"pg_replication_slots", "pg_replication_origin_status", "pg_stat_replication", "pg_stat_wal_receiver",
		"pg_stat_progress_analyze", "pg_stat_progress_basebackup", "pg_stat_progress_cluster", "pg_stat_progress_copy",
		"pg_stat_progress_create_index", "pg_stat_progress_vacuum", "pg_stat_subscription", "pg_stat_subscription_stats",
		"pg_stat_replication_slots", "pg_stat_recovery_prefetch", "pg_stat_user_functions", "pg_stat_xact_user_functions",
		"pg_file_settings", "pg_hba_file_rules", "pg_ident_file_mappings", "pg_backend_memory_contexts",
		"pg_rules", "pg_policies",
		"pg_publication_tables", "pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_user_mappings", "pg_statio_all_sequences",
		"pg_statio_sys_sequences", "pg_statio_user_sequences", "pg_settings", "pg_stat_activity",
		"administrable_role_authorizations", "attributes", "check_constraint_routine_usage", "column_column_usage", "column_options",
		"foreign_data_wrapper_options", "foreign_data_wrappers", "foreign_server_options", "foreign_servers", "foreign_table_options",
		"foreign_tables", "routine_column_usage", "routine_sequence_usage", "routine_table_usage", "sequences", "transforms",
		"triggered_update_columns", "triggers", "user_defined_types", "user_mapping_options", "user_mappings",
		"_pg_foreign_data_wrappers", "_pg_foreign_servers", "_pg_foreign_table_columns", "_pg_foreign_tables", "_pg_user_mappings",
	}, name)
}

// Relation finds a relation.
func (c *Catalog) Relation(schemaName, name string) *schema.Relation {
	return c.relations().byName[[2]string{schemaName, name}]
}

// RelationNames lists the relations of a schema.
func (c *Catalog) RelationNames(schemaName string) []string {
	var names []string
	for name := range c.relations().byName {
		if name[0] == schemaName {
			names = append(names, name[1])
		}
	}
	slices.Sort(names)
	return names
}
