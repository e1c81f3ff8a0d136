"""psycopg2 (simple protocol, literals inlined by the client) against a running pgcache.

Usage: psycopg2_test.py HOST PORT. Prints "ok" or fails with what was wrong.
"""

import sys

import psycopg2
import psycopg2.extras
from psycopg2 import errorcodes

EVERY_BYTE = bytes(range(256))

PUT = """INSERT INTO blob (ns, key, value) VALUES (%s, %s, %s)
         ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value"""
GET = "SELECT value FROM blob WHERE ns = %s AND key = %s"


def connect():
    return psycopg2.connect(host=sys.argv[1], port=int(sys.argv[2]), user="pgcache", dbname="pgcache")


def get(cursor, key):
    cursor.execute(GET, ("py2", key))
    row = cursor.fetchone()
    return None if row is None else bytes(row[0])


def expect_code(code, cursor, statement, arguments=()):
    try:
        cursor.execute(statement, arguments)
    except psycopg2.Error as e:
        assert e.pgcode == code, f"{statement}: {e.pgcode} {e}, want {code}"
        return
    raise AssertionError(f"{statement} succeeded, want {code}")


def check_values(connection):
    with connection.cursor() as cursor:
        cursor.execute(PUT, ("py2", "bytes", psycopg2.Binary(EVERY_BYTE)))
        assert cursor.statusmessage == "INSERT 0 1", cursor.statusmessage
        assert get(cursor, "bytes") == EVERY_BYTE
        cursor.execute(PUT, ("py2", "it's a \"key\" \\ with %", psycopg2.Binary(b"")))
        assert get(cursor, "it's a \"key\" \\ with %") == b""
        assert get(cursor, "absent") is None
        cursor.execute(
            "INSERT INTO blob (ns, key, value, tags, metadata, ttl_ms, version) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            ("py2", "typed", psycopg2.Binary(b"v"), ["a", "b c", 'q"'], psycopg2.extras.Json({"content-type": "text/plain"}), 60000, None),
        )
        cursor.execute("SELECT tags, metadata, ttl_ms, version, is_stale, created_at, size FROM blob WHERE ns = 'py2' AND key = 'typed'")
        tags, metadata, ttl, version, is_stale, created, size = cursor.fetchone()
        assert tags == ["a", "b c", 'q"'] and metadata == {"content-type": "text/plain"}, (tags, metadata)
        assert 0 < ttl <= 60000 and version is None and is_stale is False and size == 1
        assert created.tzinfo is not None
        cursor.execute("SELECT key FROM blob WHERE ns = %s AND key = ANY(%s)", ("py2", ["bytes", "typed", "absent"]))
        assert sorted(row[0] for row in cursor.fetchall()) == ["bytes", "typed"]
        psycopg2.extras.execute_values(
            cursor,
            "INSERT INTO blob (ns, key, value) VALUES %s",
            [("py2", f"many{i}", psycopg2.Binary(str(i).encode())) for i in range(50)],
        )
        assert get(cursor, "many49") == b"49"


def check_transactions(connection, other):
    with connection.cursor() as cursor, other.cursor() as reader:
        cursor.execute(PUT, ("py2", "tx", psycopg2.Binary(b"v")))
        assert get(reader, "tx") is None, "visible before COMMIT"
        connection.commit()
        assert get(reader, "tx") == b"v", "not visible after COMMIT"
        cursor.execute(PUT, ("py2", "gone", psycopg2.Binary(b"v")))
        connection.rollback()
        assert get(reader, "gone") is None, "visible after ROLLBACK"
        expect_code(errorcodes.UNDEFINED_TABLE, cursor, "SELECT * FROM nothing")
        expect_code(errorcodes.IN_FAILED_SQL_TRANSACTION, cursor, "SELECT 1")
        connection.rollback()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
        connection.commit()


def check_errors(connection):
    with connection.cursor() as cursor:
        insert = "INSERT INTO blob (ns, key, value) VALUES ('py2', 'dup', 'v')"
        cursor.execute(insert)
        expect_code(errorcodes.UNIQUE_VIOLATION, cursor, insert)
        expect_code(errorcodes.SYNTAX_ERROR, cursor, "SELEC")
        expect_code(errorcodes.FEATURE_NOT_SUPPORTED, cursor, "CREATE TABLE t (a int)")
        expect_code(errorcodes.NOT_NULL_VIOLATION, cursor, "INSERT INTO blob (ns, key) VALUES ('a', 'b')")
        cursor.execute("SELECT * FROM invalidate_key(%s, %s)", ("py2", "dup"))
        assert cursor.fetchone() == (1,)
        cursor.execute("CALL invalidate_namespace(%s)", ("py2",))
        assert cursor.fetchone() == (True,)
        assert get(cursor, "dup") is None


def main():
    connection, other = connect(), connect()
    assert connection.server_version >= 90000, connection.server_version
    assert connection.encoding == "UTF8", connection.encoding
    other.autocommit = True
    check_transactions(connection, other)
    check_values(other)
    check_errors(other)
    connection.close()
    other.close()
    print("ok")


main()
