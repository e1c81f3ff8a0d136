"""psycopg 3: server-side parameters, binary results, pipeline mode, COPY, server cursors."""

import psycopg
from psycopg import errors

from steps import EVERY_BYTE, contains, equal, run

connection = psycopg.connect("", autocommit=True)


def fetch(sql, *args, **options):
    return connection.execute(sql, args, **options).fetchall()


def connect():
    equal(fetch("SELECT 1"), [(1,)])


def text():
    fetch("SELECT cache_put('psycopg3', %s, %s)", "text", "héllo".encode())
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'psycopg3' AND key = %s", "text"), [("héllo",)])


def binary():
    fetch("SELECT cache_put('psycopg3', 'bytes', %b)", EVERY_BYTE)
    for as_binary in (False, True):
        equal(fetch("SELECT value FROM blob WHERE ns = 'psycopg3' AND key = 'bytes'", binary=as_binary), [(EVERY_BYTE,)])


def error():
    try:
        connection.execute("INSERT INTO blob (ns, key, value) VALUES ('psycopg3', 'text', 'again')")
        raise AssertionError("no error")
    except errors.UniqueViolation as e:
        equal(e.sqlstate, "23505")
    equal(fetch("SELECT 1"), [(1,)])


def transaction():
    try:
        with connection.transaction():
            fetch("SELECT cache_put('psycopg3', 'tx', 'rolled back')")
            raise psycopg.Rollback
    except psycopg.Rollback:
        pass
    equal(fetch("SELECT value FROM blob WHERE ns = 'psycopg3' AND key = 'tx'"), [])
    with connection.transaction():
        fetch("SELECT cache_put('psycopg3', 'tx', 'committed')")
        with connection.transaction(force_rollback=True):  # a savepoint
            fetch("SELECT cache_put('psycopg3', 'tx', 'undone')")
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'psycopg3' AND key = 'tx'"), [("committed",)])


def invalidate():
    fetch("SELECT cache_put('psycopg3', 'tagged', 'x', tags => %s)", ["t"])
    equal(fetch("SELECT invalidate_tags('psycopg3', 't')"), [(1,)])
    equal(fetch("SELECT value FROM blob WHERE ns = 'psycopg3' AND key = 'tagged'"), [])


def introspect():
    columns = fetch("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position", "blob")
    contains(columns, ("value", "bytea"))


def more():
    with connection.pipeline():
        cursors = [connection.execute("SELECT cache_put('psycopg3', %s, %s)", (f"piped{i}", b"x")) for i in range(50)]
        equal([c.fetchone() for c in cursors], [(True,)] * 50)
    with connection.cursor().copy("COPY blob (ns, key, value) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "text", "bytea"])
        copy.write_row(("psycopg3", "copied", EVERY_BYTE))
    equal(fetch("SELECT value FROM blob WHERE ns = 'psycopg3' AND key = 'copied'"), [(EVERY_BYTE,)])
    with connection.transaction(), connection.cursor("named") as c:
        c.execute("SELECT key FROM blob WHERE ns = 'psycopg3' AND key LIKE 'piped%%'", ())
        equal(len(c.fetchmany(20)) + len(c.fetchall()), 50)


run([(f.__name__, f) for f in (connect, text, binary, error, transaction, invalidate, introspect, more)])
