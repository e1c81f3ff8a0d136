#!/usr/bin/env bash
# psql: backslash commands, variables, \copy, \watch, completion.
set -u
cd "$(dirname "$0")"
. ./steps.sh

sql() { psql -X -A -t -q -v ON_ERROR_STOP=1 "$@"; }
run() { sql -c "$1"; }
file() { sql <<<"$1"; }

text() { run "SELECT cache_put('psql', 'text', 'héllo')" >/dev/null && equal héllo run "SELECT value_text FROM blob WHERE ns = 'psql' AND key = 'text'"; }
binary() { run "SELECT cache_put('psql', 'bytes', '\\x00ff27')" >/dev/null && equal '\x00ff27' run "SELECT value FROM blob WHERE ns = 'psql' AND key = 'bytes'"; }
error() { says '23505' sql -v VERBOSITY=verbose -c "INSERT INTO blob (ns, key, value) VALUES ('psql', 'text', 'again')"; }
transaction() {
	file "BEGIN; SELECT cache_put('psql', 'tx', 'x'); ROLLBACK;" >/dev/null && equal 0 run "SELECT count(*) FROM blob WHERE ns = 'psql' AND key = 'tx'" &&
		file $'BEGIN;\nSELECT cache_put(\'psql\', \'tx\', \'x\');\nCOMMIT;' >/dev/null && equal 1 run "SELECT count(*) FROM blob WHERE ns = 'psql' AND key = 'tx'"
}
invalidate() { run "SELECT cache_put('psql', 'tagged', 'x', tags => '{t}')" >/dev/null && equal 1 run "CALL invalidate_tags('psql', 't')"; }
introspect() {
	says 'value +\| bytea' psql -X -c '\d blob' && says 'blob_pkey' psql -X -c '\d+ blob' && says 'cache_stats' psql -X -c '\d' &&
		says 'pgcache' psql -X -c '\l' && says 'public' psql -X -c '\dn' && says 'invalidate_tags' psql -X -c '\df' &&
		says "$PGUSER" psql -X -c '\du' && says 'blob' psql -X -c '\dp' && psql -X -c '\dT' && says 'blob_pkey' psql -X -c '\di' &&
		says 'FUNCTION public.cache_put' psql -X -c '\sf cache_put' && says 'You are connected' psql -X -c '\conninfo'
}
copy() {
	printf 'psql,copied,\\x78\n' >"$dir/rows.csv"
	file "\\copy blob (ns, key, value) FROM '$dir/rows.csv' (FORMAT csv)" &&
		file "\\copy (SELECT ns, key, value FROM blob WHERE ns = 'psql' AND key = 'copied') TO '$dir/out.csv' (FORMAT csv)" &&
		cmp "$dir/rows.csv" "$dir/out.csv"
}
cursor() { file "\\set FETCH_COUNT 3
SELECT key FROM blob WHERE ns = 'psql' AND key LIKE 'many%';" | wc -l | grep -qx 10; }
# \watch ends with the fourth run, which fails.
watch() {
	run "SELECT invalidate_key('psql', 'watch')" >/dev/null
	file "SELECT 1 / (4 - cache_incr('psql', 'watch', 1)) AS n \\watch 0.1" 2>&1 | grep -c '^[01]$' | grep -qx 3
}
more() {
	copy && watch || return
	for i in 0 1 2 3 4 5 6 7 8 9; do run "SELECT cache_put('psql', 'many$i', 'x')"; done >/dev/null
	equal completed "${PGCACHE_PYTHON:-/usr/bin/python3}" ../python/psql_completion.py && cursor && equal psql file $'\\set who psql\nSELECT ns FROM blob WHERE ns = :\'who\' AND key = \'text\';'
}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
step connect equal 1 run 'SELECT 1'
for name in text binary error transaction invalidate introspect more; do step $name $name; done
