SELECT NULLIF(current_schema(), '') IS NOT NULL AND current_schema() = 'public'
-- %%
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relname = 'flyway_schema_history' AND c.relkind = 'r')
-- %%
SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'public'
-- %%
SELECT t.relname, n.nspname FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace LEFT JOIN pg_catalog.pg_depend d ON d.objid = t.oid AND d.deptype = 'e' WHERE d.objid IS NULL AND n.nspname = 'public' AND t.relkind = 'r' ORDER BY t.relname
-- %%
SELECT proname, oidvectortypes(proargtypes) AS args, pg_proc.prokind FROM pg_proc INNER JOIN pg_namespace ns ON (pg_proc.pronamespace = ns.oid) LEFT JOIN pg_depend dep ON dep.objid = pg_proc.oid AND dep.deptype = 'e' WHERE ns.nspname = 'public' AND dep.objid IS NULL ORDER BY 1, 2
-- %%
SELECT COUNT(*) FROM pg_catalog.pg_extension WHERE extname = 'plpgsql'
-- %%
SELECT rolsuper FROM pg_roles WHERE rolname = current_user
-- %%
SELECT c.conname AS "FK_NAME", c.contype FROM pg_catalog.pg_constraint c WHERE c.contype = 'f'
-- %%
SELECT ns.nspname AS sequence_schema, c.relname AS sequence_name, s.seqmin, s.seqmax, s.seqstart, s.seqincrement, s.seqcycle, pg_catalog.format_type(s.seqtypid, NULL) AS seq_type FROM pg_class c JOIN pg_namespace ns ON c.relnamespace = ns.oid JOIN pg_sequence s ON c.oid = s.seqrelid LEFT JOIN pg_depend d ON c.oid = d.objid WHERE c.relkind = 'S' AND ns.nspname = 'public' AND NOT EXISTS (SELECT 1 FROM pg_depend dd WHERE dd.objid = c.oid AND dd.deptype = 'a')
-- %%
SELECT viewname, pg_get_viewdef(viewname::regclass) IS NOT NULL AS definition FROM pg_views WHERE schemaname = 'information_schema' AND viewname = 'nosuch'
-- %%
SELECT a.attname, t.attname IS NULL FROM pg_attribute a LEFT JOIN pg_attribute t ON t.attrelid = a.attrelid AND t.attnum = a.attnum + 100 WHERE a.attrelid = 'public.cache_stats'::regclass AND a.attnum BETWEEN 1 AND 3 ORDER BY a.attnum
