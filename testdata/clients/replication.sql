SELECT current_setting('wal_level') IN ('minimal', 'replica', 'logical'), current_setting('max_replication_slots')::int >= 0
-- %%
SELECT slot_name, plugin, active, restart_lsn, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'debezium' AND database = 'pgcache' AND plugin = 'pgoutput'
-- %%
SELECT puballtables FROM pg_publication WHERE pubname = 'dbz_publication'
-- %%
SELECT COUNT(1) FROM pg_publication_tables WHERE pubname = 'airbyte_publication'
-- %%
SELECT oid::int8 > 0, rolcanlogin AS rolcanlogin, rolreplication AS rolreplication, CAST(array_position(ARRAY(SELECT b.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid) WHERE m.member = r.oid), 'rds_superuser') IS NOT NULL AS BOOL) IS TRUE AS aws_superuser FROM pg_roles r WHERE rolname = current_user
-- %%
SELECT (CASE pg_is_in_recovery() WHEN 't' THEN NULL ELSE 1 END) IS NOT NULL
-- %%
SELECT schemaname, tablename, attnames FROM pg_publication_tables WHERE pubname = 'x'
-- %%
SELECT nspname AS table_schema, relname AS table_name, relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relkind = 'r' AND nspname = 'public' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 2
-- %%
SELECT DISTINCT table_catalog, table_schema, table_name, privilege_type FROM information_schema.table_privileges WHERE grantee = current_user AND privilege_type = 'SELECT' AND table_schema = 'public' ORDER BY 3
-- %%
SELECT relname, n_live_tup >= 0 FROM pg_stat_user_tables WHERE relname = 'blob'
-- %%
SELECT count(*) FROM pg_stat_replication
-- %%
SELECT pg_get_replica_identity_index('blob'::regclass), (SELECT relreplident FROM pg_class WHERE oid = 'blob'::regclass)
-- %%
SELECT datname, age(datfrozenxid) >= 0 FROM pg_database ORDER BY 1
