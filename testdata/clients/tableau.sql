SELECT n.nspname, c.relname, a.attname, a.atttypid, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, a.atttypmod, a.attlen, t.typtypmod, a.attnum, t.typbasetype, t.typtype
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
JOIN pg_catalog.pg_type t ON a.atttypid = t.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'public' AND c.relname LIKE 'cache_stats_history' ORDER BY nspname, c.relname, attnum
-- %%
SELECT "cache_entries"."ns" AS "ns", SUM("cache_entries"."size") AS "sum:size:ok" FROM "public"."cache_entries" "cache_entries" GROUP BY 1
-- %%
SELECT CAST(DATE_TRUNC('DAY', CAST("cache_stats_history"."time" AS DATE)) AS DATE) AS "tdy:time:ok", MAX("cache_stats_history"."entries") AS "max:entries:ok"
FROM "public"."cache_stats_history" "cache_stats_history" GROUP BY 1
-- %%
SELECT CAST(EXTRACT(YEAR FROM "created_at") AS INTEGER) AS "yr", CAST(TRUNC(EXTRACT(QUARTER FROM "created_at")) AS INTEGER) AS "qr", COUNT(1) AS "cnt" FROM "public"."cache_entries" GROUP BY 1, 2
-- %%
SELECT SUM(1) AS "cnt", MIN("size") AS "min", MAX("size") AS "max", AVG(CAST("size" AS double precision)) AS "avg" FROM "public"."cache_entries" HAVING COUNT(1) > 0
-- %%
SELECT "t0"."ns", "t0"."size", RANK() OVER (PARTITION BY "t0"."ns" ORDER BY "t0"."size" DESC) AS "rank" FROM "public"."cache_entries" "t0" ORDER BY 1, 3, 2
-- %%
SELECT (CASE WHEN "size" > 2 THEN 'large' ELSE 'small' END) AS "bin", COUNT(DISTINCT "key") AS "ctd" FROM "public"."cache_entries" GROUP BY 1
