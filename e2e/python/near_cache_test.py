"""The near cache in near_cache.py against a running pgcache: it stays coherent.

Usage: near_cache_test.py HOST PORT. Prints "ok" or fails with what was wrong.
"""

import json
import random
import sys
import threading

import psycopg

from near_cache import NearCache

CONNINFO = f"host={sys.argv[1]} port={sys.argv[2]} user=pgcache dbname=pgcache"
KEYS = [f"{'abcd'[i % 4]}{i}" for i in range(40)]


def change(seed):
    """Writes and invalidates at random."""
    rng = random.Random(seed)
    with psycopg.connect(CONNINFO, autocommit=True) as c:
        for i in range(150):
            key, label = rng.choice(KEYS), str(rng.randrange(3))
            match rng.randrange(12):
                case 0:
                    c.execute("DELETE FROM blob WHERE ns = 'near' AND key = %s", (key,))
                case 1:
                    c.execute("SELECT invalidate_prefix('near', %s)", (key[:1],))
                case 2:
                    c.execute("SELECT invalidate_tags('near', %s)", ("t" + label,))
                case 3:
                    c.execute("SELECT invalidate_dependencies(NULL, %s)", ("d" + label,))
                case _:
                    c.execute(
                        "SELECT cache_put('near', %s, %s, tags => %s, dependencies => %s)",
                        (key, f"{seed}.{i}".encode(), ["t" + label], ["d" + label]),
                    )


def last_seq(c):
    """The sequence of the notification of a last write."""
    c.execute('LISTEN "cache_invalidation:near"')
    with psycopg.connect(CONNINFO, autocommit=True) as writer:
        writer.execute("SELECT cache_put('near', 'last', ''::bytea)")
    for n in c.notifies():
        return json.loads(n.payload)["seq"]


near = NearCache(CONNINFO, "near")
stop = threading.Event()


def read():
    while not stop.is_set():
        near.get(random.choice(KEYS))


reader = threading.Thread(target=read)
reader.start()
writers = [threading.Thread(target=change, args=(seed,)) for seed in range(2)]
for t in writers:
    t.start()
for t in writers:
    t.join()
stop.set()
reader.join()
with psycopg.connect(CONNINFO, autocommit=True) as server:
    seq = last_seq(server)
    while near.seen < seq:
        near.get("no such key")
    for key in KEYS:
        row = server.execute("SELECT value FROM blob WHERE ns = 'near' AND key = %s", (key,)).fetchone()
        want, got = row and row[0], near.get(key)
        assert got == want, f"{key}: the near cache has {got}, the server {want}"
print("ok")
