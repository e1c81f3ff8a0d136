"""Server-side cursors of psycopg 3 against a running pgcache: DECLARE with parameters,
FETCH and MOVE through the extended protocol, text and binary.

Usage: cursors_test.py HOST PORT. Prints "ok" or fails with what was wrong.
"""

import sys

import psycopg

ROWS = 3000
SELECT = "SELECT key, value, tags, ttl_ms > 0 FROM blob WHERE ns = %s AND key > %s ORDER BY key"


def key(i):
    return f"k{i:05d}"


def fill(connection):
    connection.execute(
        """SELECT count(cache_put('cursors', 'k' || lpad(i::text, 5, '0'), convert_to('v' || i, 'UTF8'), tags => '{t}', ttl_ms => 600000))
           FROM generate_series(1, %s) i""",
        (ROWS,),
    )
    connection.commit()


def check_stream(connection, binary):
    """A scan in many parts; what is written meanwhile is not among its keys."""
    with connection.cursor(name="stream", binary=binary) as cursor:
        cursor.itersize = 700
        cursor.execute(SELECT, ("cursors", key(10)))
        rows = [cursor.fetchone()]
        with psycopg.connect(connection.info.dsn, autocommit=True) as other:
            other.execute("INSERT INTO blob (ns, key, value) VALUES ('cursors', 'k00011a', '') ON CONFLICT DO NOTHING")
        rows += list(cursor)
        seen = [row[0] for row in rows]
        assert seen == [key(i) for i in range(11, ROWS + 1)], seen[:5]
        assert rows[0] == (key(11), b"v11", ["t"], True), rows[0]
    connection.commit()
    connection.execute("DELETE FROM blob WHERE ns = 'cursors' AND key = 'k00011a'")
    connection.commit()


def check_scroll(connection):
    with connection.cursor(name="scroll", scrollable=True) as cursor:
        cursor.execute(SELECT, ("cursors", ""))
        cursor.scroll(10)
        assert cursor.fetchone()[0] == key(11)
        cursor.scroll(-5)
        assert cursor.fetchone()[0] == key(7)
        cursor.scroll(0, mode="absolute")
        assert [row[0] for row in cursor.fetchmany(2)] == [key(1), key(2)]
    connection.commit()


def check_hold(connection):
    with connection.cursor(name="hold", withhold=True) as cursor:
        cursor.execute(SELECT, ("cursors", ""))
        assert cursor.fetchone()[0] == key(1)
        connection.commit()
        assert cursor.fetchone()[0] == key(2)
    connection.commit()


with psycopg.connect(host=sys.argv[1], port=int(sys.argv[2]), user="pgcache", dbname="pgcache") as connection:
    fill(connection)
    for binary in (False, True):
        check_stream(connection, binary)
    check_scroll(connection)
    check_hold(connection)
print("ok")
