SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\_%' ORDER BY nspname
-- %%
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = ANY (ARRAY['r', 'p']) AND c.relpersistence != 't' AND pg_catalog.pg_table_is_visible(c.oid) AND n.nspname != 'pg_catalog' ORDER BY 1
-- %%
SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS format_type,
  (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef) AS "default",
  a.attnotnull AS not_null, c.relname AS table_name, pgd.description AS comment, a.attgenerated AS generated
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_attribute a ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_description pgd ON pgd.objoid = a.attrelid AND pgd.objsubid = a.attnum
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) AND pg_catalog.pg_table_is_visible(c.oid) AND c.relname IN ('cache_namespaces') ORDER BY c.relname, a.attnum
-- %%
SELECT DATE_TRUNC('hour', time) AS __timestamp, ns AS ns, SUM(hits) AS "SUM(hits)" FROM public.cache_stats_history
WHERE time >= TO_TIMESTAMP('2026-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') AND time < TO_TIMESTAMP('2036-01-01 00:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')
GROUP BY DATE_TRUNC('hour', time), ns ORDER BY "SUM(hits)" DESC, ns LIMIT 1000
-- %%
SELECT tier AS tier, COUNT(*) AS count, SUM(size) AS "SUM(size)" FROM public.cache_entries GROUP BY tier ORDER BY count DESC LIMIT 100
-- %%
SELECT * FROM public.cache_namespaces LIMIT 101
-- %%
SELECT unnest(tags) AS tag, count(*) AS entries FROM public.cache_entries GROUP BY 1 HAVING count(*) > 0 ORDER BY entries DESC, tag
-- %%
SELECT metadata ->> 'content-type' AS type, count(*) FROM public.cache_entries GROUP BY 1 ORDER BY 1 NULLS LAST
