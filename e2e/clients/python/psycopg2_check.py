"""psycopg 2: literals in the text of a simple Query, server-side cursors, COPY."""

import io

import psycopg2
import psycopg2.extras
from psycopg2 import errors

from steps import EVERY_BYTE, contains, equal, run

connection = psycopg2.connect("")


def fetch(sql, *args):
    with connection.cursor() as c:
        c.execute(sql, args)
        return c.fetchall()


def execute(sql, *args):
    with connection.cursor() as c:
        c.execute(sql, args)
        return c.rowcount


def connect():
    connection.autocommit = True
    equal(fetch("SELECT 1"), [(1,)])


def text():
    execute("SELECT cache_put('psycopg2', %s, %s)", "text", b"h\xc3\xa9llo")
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'psycopg2' AND key = %s", "text"), [("héllo",)])


def binary():
    execute("SELECT cache_put('psycopg2', 'bytes', %s)", psycopg2.Binary(EVERY_BYTE))
    equal(bytes(fetch("SELECT value FROM blob WHERE ns = 'psycopg2' AND key = 'bytes'")[0][0]), EVERY_BYTE)


def error():
    try:
        execute("INSERT INTO blob (ns, key, value) VALUES ('psycopg2', 'text', 'again')")
        raise AssertionError("no error")
    except errors.UniqueViolation as e:
        equal(e.pgcode, "23505")
    equal(fetch("SELECT 1"), [(1,)])


def transaction():
    connection.autocommit = False
    execute("SELECT cache_put('psycopg2', 'tx', 'rolled back')")
    connection.rollback()
    equal(fetch("SELECT value FROM blob WHERE ns = 'psycopg2' AND key = 'tx'"), [])
    execute("SELECT cache_put('psycopg2', 'tx', 'committed')")
    connection.commit()
    connection.autocommit = True
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'psycopg2' AND key = 'tx'"), [("committed",)])


def invalidate():
    execute("SELECT cache_put('psycopg2', 'tagged', 'x', tags => %s)", ["t"])
    equal(fetch("SELECT invalidate_tags('psycopg2', 't')"), [(1,)])
    equal(fetch("SELECT value FROM blob WHERE ns = 'psycopg2' AND key = 'tagged'"), [])


def introspect():
    columns = fetch("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'blob' ORDER BY ordinal_position")
    contains(columns, ("value", "bytea"))


def more():
    with connection.cursor() as c:
        psycopg2.extras.execute_values(
            c, "INSERT INTO blob (ns, key, value) VALUES %s ON CONFLICT (ns, key) DO NOTHING", [("psycopg2", f"many{i}", b"x") for i in range(50)]
        )
        c.copy_expert("COPY blob (ns, key, value) FROM STDIN", io.StringIO("psycopg2\tcopied\t\\\\x78\n"))
    connection.autocommit = False
    with connection.cursor("named") as c:
        c.itersize = 7
        c.execute("SELECT key FROM blob WHERE ns = 'psycopg2' AND key LIKE 'many%'")
        equal(len(list(c)), 50)
    connection.commit()
    connection.autocommit = True
    equal(fetch("SELECT value_text FROM blob WHERE ns = 'psycopg2' AND key = 'copied'"), [("x",)])


run([(f.__name__, f) for f in (connect, text, binary, error, transaction, invalidate, introspect, more)])
