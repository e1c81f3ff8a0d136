#!/usr/bin/env bash
# pgcli: its completion queries at start, and backslash commands, through its own client.
set -u
cd "$(dirname "$0")"
. ./steps.sh

HOME=$(mktemp -d)
export HOME PAGER=cat TERM=dumb
trap 'rm -rf "$HOME"' EXIT
cli() { printf '%s\n' "$@" '\q' | timeout 300 /usr/bin/pgcli --warn off --less-chatty; }
step connect says '\b1\b' cli 'SELECT 1;'
step text says 'hello' cli "SELECT cache_put('pgcli', 'text', 'hello');" "SELECT value_text FROM blob WHERE ns = 'pgcli' AND key = 'text';"
step error says 'duplicate key' cli "INSERT INTO blob (ns, key, value) VALUES ('pgcli', 'text', 'again');"
step introspect says 'bytea' cli '\d blob'
