package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// owner and database are what pgcache's objects belong to, in both servers.
const owner, database = "pgcache", "pgcache"

func connect(ctx context.Context, address, user, database string) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, "postgres://"+user+"@"+address+"/"+database+"?sslmode=disable&timezone=UTC")
}

// mirror makes PostgreSQL hold what pgcache holds, so that what its catalog says is the same:
// one database, the role that owns it, and in schema public the relations with their rows, the
// functions and the comments.
func (p *pair) mirror(ctx context.Context) error {
	if err := p.renameDatabase(ctx); err != nil {
		return err
	}
	var err error
	if p.real, err = connect(ctx, p.postgres.Address, owner, database); err != nil {
		return err
	}
	for _, copied := range []func(context.Context) error{p.copyRelations, p.copyFunctions, p.copyRoles, p.copyComments} {
		if err := copied(ctx); err != nil {
			return err
		}
	}
	// reltuples and relallvisible are what a vacuum counts.
	if err := p.real.Exec(ctx, "VACUUM ANALYZE").Close(); err != nil {
		return err
	}
	if p.ownNames, err = objectNames(ctx, p.pgcache); err != nil {
		return err
	}
	p.realNames, err = objectNames(ctx, p.real)
	return err
}

// objectNames are the names of the objects whose OIDs differ from one cluster to the next.
func objectNames(ctx context.Context, conn *pgconn.PgConn) (map[string]string, error) {
	const objects = `SELECT oid, oid::regclass::text AS name FROM pg_class
		UNION ALL SELECT oid, 'type ' || oid::regtype FROM pg_type UNION ALL SELECT oid, oid::regprocedure::text FROM pg_proc
		UNION ALL SELECT oid, 'namespace ' || nspname FROM pg_namespace UNION ALL SELECT oid, 'role ' || rolname FROM pg_authid
		UNION ALL SELECT oid, 'constraint ' || conname FROM pg_constraint UNION ALL SELECT oid, 'rule of ' || ev_class::regclass FROM pg_rewrite
		UNION ALL SELECT oid, 'database ' || datname FROM pg_database UNION ALL SELECT oid, 'collation ' || collname || collencoding FROM pg_collation
		UNION ALL SELECT oid, 'extension ' || extname FROM pg_extension UNION ALL SELECT oid, 'language ' || lanname FROM pg_language
		UNION ALL SELECT oid, 'text search ' || dictname FROM pg_ts_dict UNION ALL SELECT oid, 'configuration ' || cfgname FROM pg_ts_config`
	result := conn.ExecParams(ctx, "SELECT * FROM ("+objects+") WHERE oid >= 12000", nil, nil, nil, nil).Read()
	names := make(map[string]string, len(result.Rows))
	for _, row := range result.Rows {
		names[string(row[0])] = "OID of " + string(row[1])
	}
	return names, result.Err
}

// renameDatabase leaves one database, owned by the first role.
func (p *pair) renameDatabase(ctx context.Context) error {
	for _, step := range []struct{ user, database, sql string }{
		{"postgres", "template1", "ALTER DATABASE postgres RENAME TO " + database + "; UPDATE pg_authid SET rolname = '" + owner + "' WHERE rolname = 'postgres'"},
		{owner, database, "UPDATE pg_database SET datistemplate = false WHERE datistemplate"},
		{owner, database, "DROP DATABASE template0"},
		{owner, database, "DROP DATABASE template1"},
	} {
		conn, err := connect(ctx, p.postgres.Address, step.user, step.database)
		if err != nil {
			return err
		}
		err = conn.Exec(ctx, step.sql).Close()
		_ = conn.Close(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.sql, err)
		}
	}
	return nil
}

// table returns the rows of a query on pgcache, NULLs as empty strings.
func (p *pair) table(ctx context.Context, sql string) ([][]string, error) {
	result := p.pgcache.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("%s: %w", sql, result.Err)
	}
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, cell := range row {
			rows[i] = append(rows[i], string(cell))
		}
	}
	return rows, nil
}

func (p *pair) copyRelations(ctx context.Context) error {
	columns, err := p.table(ctx, `SELECT c.relname, c.oid, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE '' END,
		(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v') AND a.attnum > 0 ORDER BY c.oid, a.attnum`)
	if err != nil {
		return err
	}
	var names []string
	definitions := make(map[string][]string)
	oids, keys := make(map[string]string), make(map[string]string)
	for _, row := range columns {
		if definitions[row[0]] == nil {
			names = append(names, row[0])
		}
		definitions[row[0]] = append(definitions[row[0]], strings.Join(row[2:5], " "))
		oids[row[0]], keys[row[0]] = row[1], row[5]
	}
	for _, table := range names {
		parts := definitions[table]
		if keys[table] != "" {
			parts = append(parts, keys[table])
		}
		if err := p.useOIDsUpTo(ctx, oids[table]); err != nil {
			return fmt.Errorf("create %s: %w", table, err)
		}
		if err := p.real.Exec(ctx, "CREATE TABLE "+table+" ("+strings.Join(parts, ", ")+")").Close(); err != nil {
			return fmt.Errorf("create %s: %w", table, err)
		}
		if err := p.copyRows(ctx, table); err != nil {
			return fmt.Errorf("copy %s: %w", table, err)
		}
	}
	return p.real.Exec(ctx, withoutTOAST).Close()
}

// withoutTOAST takes from PostgreSQL's catalog what pgcache's tables do not have.
const withoutTOAST = `
	SET allow_system_table_mods = on;
	UPDATE pg_class SET reltoastrelid = 0 WHERE relnamespace = 'public'::regnamespace;
	DELETE FROM pg_attribute WHERE attrelid >= 16384 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace);
	DELETE FROM pg_depend WHERE objid >= 16384 AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace);
	DELETE FROM pg_index WHERE indexrelid >= 16384 AND indexrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'pg_toast'::regnamespace);
	DELETE FROM pg_class WHERE oid >= 16384 AND relnamespace = 'pg_toast'::regnamespace;
	RESET allow_system_table_mods`

// useOIDsUpTo makes the next object get an OID, so that an OID that a client once read means the
// same in both servers.
func (p *pair) useOIDsUpTo(ctx context.Context, oid string) error {
	const first = "16384" // the next one in a new cluster
	if oid == first {
		return nil
	}
	return p.real.Exec(ctx, `DO $$ DECLARE used oid; BEGIN
		LOOP
			used := lo_create(0);
			PERFORM lo_unlink(used);
			EXIT WHEN used >= `+oid+` - 1;
		END LOOP;
	END $$`).Close()
}

func (p *pair) copyRows(ctx context.Context, table string) error {
	rows := p.pgcache.ExecParams(ctx, "SELECT * FROM "+table, nil, nil, nil, nil).Read()
	if rows.Err != nil {
		return rows.Err
	}
	for _, row := range rows.Rows {
		marks := make([]string, len(row))
		for i, f := range rows.FieldDescriptions {
			marks[i] = fmt.Sprintf("$%d::text::%s", i+1, typeName(f.DataTypeOID))
		}
		if err := p.real.ExecParams(ctx, "INSERT INTO "+table+" VALUES ("+strings.Join(marks, ", ")+")", row, nil, nil, nil).Read().Err; err != nil {
			return err
		}
	}
	return nil
}

// typeName is a type that text can be cast to.
func typeName(oid uint32) string {
	names := map[uint32]string{16: "bool", 17: "bytea", 20: "int8", 21: "int2", 23: "int4", 25: "text", 700: "float4", 701: "float8",
		1009: "text[]", 1184: "timestamptz", 1186: "interval", 1700: "numeric", 3802: "jsonb", 869: "inet", 26: "oid", 19: "name", 28: "xid"}
	if names[oid] == "" {
		return "text"
	}
	return names[oid]
}

// copyFunctions makes functions with the same signatures. What runs when PostgreSQL calls one
// is shell_in, which only raises an error.
func (p *pair) copyFunctions(ctx context.Context) error {
	functions, err := p.table(ctx, `SELECT proname, pg_get_functiondef(p.oid) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace ORDER BY oid`)
	if err != nil {
		return err
	}
	for _, f := range functions {
		definition := strings.Replace(f[1], "AS $function$"+f[0]+"$function$", "AS $function$shell_in$function$", 1)
		if err := p.real.Exec(ctx, definition).Close(); err != nil {
			return fmt.Errorf("%s: %w", definition, err)
		}
	}
	return nil
}

// copyRoles makes the roles that PostgreSQL does not have of itself, with what they may do, and
// takes away what pgcache's catalog does not have: the language plpgsql.
func (p *pair) copyRoles(ctx context.Context) error {
	statements, err := p.table(ctx, `SELECT format('CREATE ROLE %I', rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> '`+owner+`'
		UNION ALL SELECT format('ALTER ROLE %I %s %s %s %s %s %s %s', rolname, CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
			CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
			CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END, CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
			CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END)
			FROM pg_roles WHERE rolname !~ '^pg_'
		UNION ALL SELECT format('GRANT %I TO %I', roleid::regrole::text, member::regrole::text) FROM pg_auth_members WHERE member::regrole::text !~ '^pg_'
		UNION ALL SELECT format('UPDATE pg_class SET relacl = %L WHERE oid = %s', relacl, oid) FROM pg_class WHERE oid >= 16384 AND relacl IS NOT NULL
		UNION ALL SELECT format('UPDATE pg_proc SET proacl = %L WHERE oid = %L::regprocedure', proacl, oid::regprocedure) FROM pg_proc WHERE oid >= 16384 AND proacl IS NOT NULL
		UNION ALL SELECT format('UPDATE pg_namespace SET nspacl = %L WHERE oid = %s', nspacl, oid) FROM pg_namespace WHERE nspname = 'public'
		UNION ALL SELECT format('UPDATE pg_database SET datacl = %L', datacl) FROM pg_database
		UNION ALL SELECT 'DROP EXTENSION plpgsql' WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'plpgsql')`)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if err := p.real.Exec(ctx, s[0]).Close(); err != nil {
			return fmt.Errorf("%s: %w", s[0], err)
		}
	}
	return nil
}

// copyComments also takes away PostgreSQL's comments on its own objects, which are prose that
// pgcache does not have.
func (p *pair) copyComments(ctx context.Context) error {
	if err := p.real.Exec(ctx, "DELETE FROM pg_description; DELETE FROM pg_shdescription").Close(); err != nil {
		return err
	}
	comments, err := p.table(ctx, `SELECT format('COMMENT ON COLUMN %s.%I IS %L', a.attrelid::regclass, a.attname, d.description)
			FROM pg_description d JOIN pg_attribute a ON (a.attrelid, a.attnum) = (d.objoid, d.objsubid)
			WHERE d.classoid = 'pg_class'::regclass AND d.objsubid > 0 AND a.attrelid >= 16384
		UNION ALL SELECT format('COMMENT ON TABLE %s IS %L', objoid::regclass, description) FROM pg_description
			WHERE classoid = 'pg_class'::regclass AND objsubid = 0 AND objoid >= 16384
		UNION ALL SELECT format('COMMENT ON ROUTINE %s IS %L', objoid::regprocedure, description) FROM pg_description
			WHERE classoid = 'pg_proc'::regclass AND objoid >= 16384
		UNION ALL SELECT format('COMMENT ON ROLE %I IS %L', rolname, description)
			FROM pg_shdescription JOIN pg_roles r ON r.oid = objoid WHERE classoid = 'pg_authid'::regclass
		UNION ALL SELECT format('COMMENT ON SCHEMA %s IS %L', objoid::regnamespace, description) FROM pg_description
			WHERE classoid = 'pg_namespace'::regclass
		UNION ALL SELECT format('COMMENT ON DATABASE %I IS %L', datname, description)
			FROM pg_shdescription JOIN pg_database d ON d.oid = objoid WHERE classoid = 'pg_database'::regclass`)
	if err != nil {
		return err
	}
	for _, c := range comments {
		if err := p.real.Exec(ctx, c[0]).Close(); err != nil {
			return fmt.Errorf("%s: %w", c[0], err)
		}
	}
	return nil
}
