#!/usr/bin/env bash
# pgbench and pg_isready: every way of sending a statement, and pipelines.
set -u
cd "$(dirname "$0")"
. ./steps.sh
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/mix.sql" <<'SQL'
\set n random(1, 100)
SELECT cache_put('pgbench', 'key' || :n, 'value');
SELECT value FROM blob WHERE ns = 'pgbench' AND key = 'key' || :n;
SQL
cat >"$dir/tx.sql" <<'SQL'
\set n random(1, 100)
BEGIN;
SELECT cache_put('pgbench', 'tx' || :n, 'value');
COMMIT;
SQL
cat >"$dir/pipeline.sql" <<'SQL'
\startpipeline
SELECT 1;
SELECT value FROM blob WHERE ns = 'pgbench' AND key = 'key1';
\endpipeline
SQL
bench() { says 'number of failed transactions: 0' "$bin/pgbench" -n -c 4 -t 50 "$@"; }
more() { bench -M simple -f "$dir/mix.sql" && bench -M extended -f "$dir/mix.sql" && bench -M prepared -f "$dir/mix.sql" && bench -M prepared -f "$dir/pipeline.sql"; }
step connect says 'accepting connections' "$bin/pg_isready"
step transaction bench -M prepared -f "$dir/tx.sql"
step more more
