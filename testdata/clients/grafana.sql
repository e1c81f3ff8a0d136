-- which version the data source talks to, and what it offers in the query builder
SELECT current_setting('server_version_num')::int / 100 AS version
-- %%
SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) AS name FROM information_schema.tables
WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY 1
-- %%
SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = 'cache_stats_history' ORDER BY ordinal_position
-- %%
-- time series: $__timeGroupAlias and $__timeFilter expanded
SELECT floor(extract(epoch FROM time) / 300) * 300 AS "time", ns AS metric, max(hits) AS hits, max(misses) AS misses
FROM cache_stats_history
WHERE time BETWEEN '2026-01-01T00:00:00Z' AND '2036-01-01T00:00:00Z' AND ns IS NOT NULL
GROUP BY 1, 2 ORDER BY 1, 2
-- %%
SELECT date_trunc('minute', time) AS time, avg(l1_bytes) AS l1_bytes, avg(l2_bytes) AS l2_bytes
FROM cache_stats_history WHERE ns IS NULL GROUP BY 1 ORDER BY 1
-- %%
SELECT time, greatest(hits - lag(hits) OVER w, 0) AS hits, greatest(misses - lag(misses) OVER w, 0) AS misses
FROM cache_stats_history WHERE ns IS NULL WINDOW w AS (ORDER BY time) ORDER BY time
-- %%
-- a gauge and a table
SELECT hit_ratio * 100 AS "hit ratio", l1_bytes_in_use::float8 / nullif(l1_bytes_max, 0) AS "memory used" FROM cache_stats
-- %%
SELECT ns, hits, misses, round(100.0 * hits / nullif(hits + misses, 0), 1) AS "hit %" FROM cache_namespaces ORDER BY hits DESC, ns LIMIT 10
-- %%
-- gaps filled
SELECT t AS time, coalesce(max(h.hits), 0) AS hits
FROM generate_series(timestamptz '2026-01-01 00:00Z', timestamptz '2026-01-01 01:00Z', interval '10 minutes') AS t
LEFT JOIN cache_stats_history h ON h.time >= t AND h.time < t + interval '10 minutes' GROUP BY t ORDER BY t
-- %%
SELECT time_bucket, count(*) FROM (SELECT date_bin('15 minutes', created_at, timestamptz '2026-01-01') AS time_bucket FROM cache_entries) b GROUP BY time_bucket ORDER BY time_bucket
-- %%
SELECT DISTINCT ns FROM cache_namespaces ORDER BY ns
