"""psycopg 3 (extended protocol, text and binary) against a running pgcache.

Usage: psycopg3_test.py HOST PORT. Prints "ok" or fails with what was wrong.
"""

import sys

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

EVERY_BYTE = bytes(range(256))

PUT = """INSERT INTO blob (ns, key, value) VALUES (%s, %s, %s)
         ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value"""
GET = "SELECT value FROM blob WHERE ns = %s AND key = %s"


def connect(**options):
    return psycopg.connect(host=sys.argv[1], port=int(sys.argv[2]), user="pgcache", dbname="pgcache", **options)


def get(connection, key, **options):
    row = connection.execute(GET, ("py3", key), **options).fetchone()
    return None if row is None else row[0]


def expect(error, connection, statement, arguments=None):
    try:
        connection.execute(statement, arguments)
    except error:
        return
    raise AssertionError(f"{statement} succeeded, want {error}")


def check_values(connection, binary):
    """Text and binary cursors, prepared (after the fifth run) and not."""
    cursor = connection.cursor(binary=binary)
    for prepare in (None, True, False):
        for _ in range(7):
            cursor.execute(PUT, ("py3", "bytes", EVERY_BYTE), prepare=prepare)
            assert cursor.statusmessage == "INSERT 0 1", cursor.statusmessage
            cursor.execute(GET, ("py3", "bytes"), prepare=prepare)
            assert cursor.fetchone() == (EVERY_BYTE,)
    cursor.execute(GET, ("py3", "absent"))
    assert cursor.fetchone() is None
    cursor.execute(
        """INSERT INTO blob (ns, key, value, tags, metadata, ttl_ms, version) VALUES (%s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (ns, key) DO UPDATE SET tags = excluded.tags""",
        ("py3", "typed", b"", ["a", "b c"], Jsonb({"content-type": "text/plain"}), 60000, None),
    )
    cursor.execute("SELECT value, tags, metadata, ttl_ms, version, is_stale, created_at, priority FROM blob WHERE ns = %s AND key = %s", ("py3", "typed"))
    value, tags, metadata, ttl, version, is_stale, created, priority = cursor.fetchone()
    assert value == b"" and tags == ["a", "b c"] and metadata == {"content-type": "text/plain"}, (value, tags, metadata)
    assert 0 < ttl <= 60000 and version is None and is_stale is False and priority == 128
    assert created.tzinfo is not None
    cursor.execute("SELECT key FROM blob WHERE ns = %s AND key = ANY(%s)", ("py3", ["bytes", "typed", "absent"]))
    assert sorted(row[0] for row in cursor.fetchall()) == ["bytes", "typed"]
    cursor.executemany(PUT, [("py3", f"many{i}", str(i).encode()) for i in range(50)])
    cursor.execute(GET, ("py3", "many49"))
    assert cursor.fetchone() == (b"49",)
    cursor.execute("SELECT * FROM cache_stats")
    names = [column.name for column in cursor.description]
    stats = dict(zip(names, cursor.fetchone()))
    assert stats["entries"] >= 52 and stats["hits"] > 0, stats


def check_pipeline(connection):
    with connection.pipeline():
        cursors = [connection.execute(GET, ("py3", f"many{i}")) for i in range(50)]
        assert [c.fetchone()[0] for c in cursors] == [str(i).encode() for i in range(50)]


def check_transactions(connection, other):
    with connection.transaction():
        connection.execute(PUT, ("py3", "tx", b"v"))
        assert get(other, "tx") is None, "visible before COMMIT"
        assert get(connection, "tx") == b"v", "the writer does not see its write"
    connection.commit()
    assert get(other, "tx") == b"v", "not visible after COMMIT"
    connection.execute(PUT, ("py3", "gone", b"v"))
    connection.rollback()
    assert get(other, "gone") is None, "visible after ROLLBACK"
    expect(errors.UndefinedTable, connection, "SELECT * FROM nothing")
    expect(errors.InFailedSqlTransaction, connection, "SELECT 1")
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)
    connection.commit()


def check_errors(connection):
    insert = "INSERT INTO blob (ns, key, value) VALUES (%s, %s, %s)"
    connection.execute(insert, ("py3", "dup", b"v"))
    expect(errors.UniqueViolation, connection, insert, ("py3", "dup", b"v"))
    expect(errors.SyntaxError, connection, "SELEC")
    expect(errors.FeatureNotSupported, connection, "CREATE TABLE t (a int)")
    expect(errors.NotNullViolation, connection, insert, ("py3", "k", None))
    try:
        connection.execute(insert, ("py3", "dup", b"v"))
    except errors.UniqueViolation as e:
        assert e.diag.constraint_name == "blob_pkey" and "(py3, dup)" in e.diag.message_detail, e.diag.message_detail
    assert connection.execute("SELECT * FROM invalidate_key(%s, %s)", ("py3", "dup")).fetchone() == (1,)
    assert connection.execute("CALL invalidate_namespace(%s)", ("py3",)).fetchone() == (True,)
    assert get(connection, "tx") is None


def main():
    with connect() as connection, connect(autocommit=True) as other:
        check_transactions(connection, other)
        check_values(other, binary=False)
        check_values(other, binary=True)
        check_pipeline(other)
        check_errors(other)
    print("ok")


main()
