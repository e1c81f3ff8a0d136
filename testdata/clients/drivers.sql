SELECT t.oid, t.typname, t.typsend, t.typreceive, t.typoutput, t.typinput, coalesce(d.typelem, t.typelem), coalesce(r.rngsubtype, 0), ARRAY(SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) FROM pg_type AS t LEFT JOIN pg_type AS d ON t.typbasetype = d.oid LEFT JOIN pg_range AS r ON r.rngtypid = t.oid OR r.rngmultitypid = t.oid OR (t.typbasetype <> 0 AND r.rngtypid = t.typbasetype) WHERE (t.typrelid = 0) AND (t.typelem = 0 OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type s WHERE s.typrelid != 0 AND s.oid = t.typelem)) AND t.oid < 12000 ORDER BY 1
-- %%
SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, t.typbasetype, n.nspname, t.typrelid FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid INNER JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = 1700
-- %%
SELECT attname, atttypid FROM pg_catalog.pg_attribute WHERE attrelid = 'blob'::regclass::oid AND NOT attisdropped AND attnum > 0 ORDER BY attnum
-- %%
SELECT typname::text, typtype::text, typcategory::text, typbasetype, typelem, typrelid FROM pg_catalog.pg_type WHERE oid = 23
-- %%
SELECT oid FROM pg_catalog.pg_type WHERE typname ILIKE 'JSONB'
-- %%
SELECT rel.relname, att.attname, CASE WHEN att.attnotnull THEN true ELSE false END FROM pg_attribute att JOIN pg_class rel ON rel.oid = att.attrelid WHERE (att.attrelid, att.attnum) IN (('blob'::regclass, 1), ('blob'::regclass, 2)) ORDER BY 2
-- %%
SELECT NOT pg_attribute.attnotnull FROM (VALUES ('blob'::regclass::int4, 1::int2, 1::int4)) AS col(relid, attnum, idx) LEFT JOIN pg_catalog.pg_attribute ON pg_catalog.pg_attribute.attrelid IS NOT DISTINCT FROM col.relid::oid AND pg_catalog.pg_attribute.attnum IS NOT DISTINCT FROM col.attnum ORDER BY col.idx
-- %%
SELECT c.relname AS table_name, a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null, COALESCE(pg_get_expr(ad.adbin, ad.adrelid), '') AS default_value, COALESCE(ct.contype = 'p', false) AS is_primary_key FROM pg_attribute a JOIN ONLY pg_class c ON c.oid = a.attrelid JOIN ONLY pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_constraint ct ON ct.conrelid = c.oid AND a.attnum = ANY(ct.conkey) AND ct.contype = 'p' LEFT JOIN pg_attrdef ad ON ad.adrelid = c.oid AND ad.adnum = a.attnum WHERE a.attisdropped = false AND n.nspname = 'public' AND c.relname = 'blob' AND a.attnum > 0 ORDER BY a.attnum
-- %%
SELECT pg_typeof($1::int4), $2::text || 'x', $3::bool
-- %%
SELECT current_setting('transaction_read_only'), current_setting('default_transaction_isolation'), current_setting('standard_conforming_strings')
-- %%
SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema() UNION SELECT 'none' ORDER BY 1
-- %%
SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE (table_schema, table_name) = ('public', 'blob') AND ordinal_position <= 3 ORDER BY ordinal_position
-- %%
SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = 'blob'
-- %%
SELECT sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0) IS NULL OR true AS ratio FROM pg_statio_user_tables
