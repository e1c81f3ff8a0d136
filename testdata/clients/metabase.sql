SELECT n.nspname AS schema, c.relname AS name, c.relkind AS kind, obj_description(c.oid, 'pg_class') AS description
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON c.relnamespace = n.oid
WHERE c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname !~ '^information_schema|catalog|toast' ORDER BY 1, 2
-- %%
SELECT c.column_name AS name, c.udt_name AS "database-type", c.ordinal_position - 1 AS "database-position", c.table_schema AS "table-schema", c.table_name AS "table-name",
  c.is_nullable = 'YES' AS nullable, pk.column_name IS NOT NULL AS "pk?", col_description(format('%I.%I', c.table_schema, c.table_name)::regclass, c.ordinal_position) AS "field-comment"
FROM information_schema.columns c
LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints tc
  JOIN information_schema.key_column_usage kc ON tc.constraint_name = kc.constraint_name AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name
  WHERE tc.constraint_type = 'PRIMARY KEY') AS pk
  ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name
WHERE c.table_schema = 'public' AND c.table_name IN ('blob', 'cache_namespaces') ORDER BY "table-name", "database-position"
-- %%
SELECT count(*) AS "count" FROM "public"."cache_entries"
-- %%
SELECT "public"."cache_entries"."ns" AS "ns", count(*) AS "count", sum("public"."cache_entries"."size") AS "sum", avg("public"."cache_entries"."size") AS "avg"
FROM "public"."cache_entries" GROUP BY "public"."cache_entries"."ns" ORDER BY "public"."cache_entries"."ns" ASC
-- %%
SELECT date_trunc('day', "public"."cache_entries"."created_at") AS "created_at", count(*) AS "count" FROM "public"."cache_entries"
WHERE "public"."cache_entries"."created_at" >= date_trunc('month', now() + interval '-1 month')
GROUP BY date_trunc('day', "public"."cache_entries"."created_at") ORDER BY 1 ASC
-- %%
SELECT floor(("public"."cache_entries"."size" - 0.0) / 10) * 10 + 0.0 AS "size", count(*) AS "count" FROM "public"."cache_entries" GROUP BY 1 ORDER BY 1
-- %%
SELECT "source"."ns" AS "ns", "source"."n" AS "n" FROM (SELECT "ns", count(*) AS "n" FROM "public"."cache_entries" GROUP BY "ns") AS "source" WHERE "source"."n" > 1 LIMIT 2000
-- %%
SELECT substring("public"."cache_entries"."key" FROM 1 FOR 1234) AS "substring1", "public"."cache_entries"."size" AS "size" FROM "public"."cache_entries" ORDER BY 1 LIMIT 10000
-- %%
SELECT count(DISTINCT "ns") AS "count", count(*) FILTER (WHERE "size" > 1) AS "large", percentile_cont(0.9) WITHIN GROUP (ORDER BY "size") AS "p90", stddev_pop("size") AS "stddev" FROM "public"."cache_entries"
