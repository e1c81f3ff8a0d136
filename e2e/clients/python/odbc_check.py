"""psqlODBC through unixODBC and pyodbc: prepared statements, catalog functions, cursors."""

import glob

import pyodbc

from steps import EVERY_BYTE, contains, environment, equal, run

driver = (glob.glob("/usr/lib/*/odbc/psqlodbcw.so") or ["psqlodbcw.so"])[0]
connection = pyodbc.connect(
    f"Driver={driver};Servername={environment('PGHOST')};Port={environment('PGPORT')};Database={environment('PGDATABASE')};"
    f"Uid={environment('PGUSER')};Pwd={environment('PGPASSWORD')};SSLmode={environment('PGSSLMODE')};ByteaAsLongVarBinary=1;",
    autocommit=True,
)


def fetch(sql, *args):
    return [tuple(r) for r in connection.cursor().execute(sql, *args).fetchall()]


def connect():
    equal(fetch("SELECT 1"), [(1,)])


def text():
    fetch("SELECT cache_put('odbc', ?, ?)", "text", "héllo".encode())
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'odbc' AND key = ?", "text"), [("héllo",)])


def binary():
    fetch("SELECT cache_put('odbc', 'bytes', ?)", pyodbc.Binary(EVERY_BYTE))
    equal(fetch("SELECT value FROM blob WHERE ns = 'odbc' AND key = 'bytes'"), [(EVERY_BYTE,)])


def error():
    try:
        connection.execute("INSERT INTO blob (ns, key, value) VALUES ('odbc', 'text', 'again')")
        raise AssertionError("no error")
    except pyodbc.IntegrityError as e:
        equal(e.args[0], "23505")


def transaction():
    connection.autocommit = False
    fetch("SELECT cache_put('odbc', 'tx', 'rolled back')")
    connection.rollback()
    equal(fetch("SELECT value FROM blob WHERE ns = 'odbc' AND key = 'tx'"), [])
    fetch("SELECT cache_put('odbc', 'tx', 'committed')")
    connection.commit()
    connection.autocommit = True
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'odbc' AND key = 'tx'"), [("committed",)])


def invalidate():
    fetch("SELECT cache_put('odbc', 'tagged', 'x', tags => '{t}')")
    equal([int(r[0]) for r in fetch("SELECT invalidate_tags('odbc', 't')")], [1])


def introspect():
    c = connection.cursor()
    contains([r.table_name for r in c.tables(schema="public")], "blob")
    contains([r.column_name for r in c.columns(table="blob", schema="public")], "value")
    equal([r.column_name for r in c.primaryKeys(table="blob", schema="public")], ["ns", "key"])


def more():
    c = connection.cursor()
    c.executemany("SELECT cache_put('odbc', ?, ?)", [(f"many{i}", b"x") for i in range(20)])
    equal(len(c.execute("SELECT key, size FROM blob WHERE ns = 'odbc' AND key LIKE 'many%' ORDER BY key").fetchmany(100)), 20)
    assert c.execute("SELECT hits, hit_ratio, started_at FROM cache_stats").fetchone()[0] >= 0


run([(f.__name__, f) for f in (connect, text, binary, error, transaction, invalidate, introspect, more)])
