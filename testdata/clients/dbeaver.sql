SELECT version()
-- %%
SELECT current_schema(), session_user
-- %%
SELECT db.oid, db.datname, pg_encoding_to_char(db.encoding) AS encoding FROM pg_catalog.pg_database db WHERE datname = current_database()
-- %%
SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n
LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass WHERE nspname = 'public'
-- %%
SELECT c.oid, c.relname, c.relkind, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS partition_expr, pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
FROM pg_catalog.pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind NOT IN ('i', 'I', 'c') ORDER BY 2
-- %%
SELECT c.relname, a.attname, a.atttypid::regtype, pg_catalog.format_type(a.atttypid, a.atttypmod) AS full_type, dsc.description
FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)
LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)
WHERE NOT a.attisdropped AND a.attnum > 0 AND c.oid = 'public.cache_stats'::regclass ORDER BY a.attnum
-- %%
SELECT conname, contype, conkey, pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE conrelid = 'public.blob'::regclass
-- %%
SELECT i.indexrelid::regclass, i.indkey, i.indisunique, pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index i WHERE i.indrelid = 'blob'::regclass ORDER BY 1
-- %%
SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.prokind FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname LIKE 'date\_%' ORDER BY 1, 2
-- %%
SELECT ns, key, size, tier FROM public.cache_entries ORDER BY ns, key LIMIT 200 OFFSET 0
-- %%
SELECT x.* FROM public.cache_namespaces x WHERE x.ns = 'web'
