"""An example: a cache inside a Python program in front of pgcache, kept coherent by LISTEN.

It is meant to be read and copied. See the package nearcache beside it for the rule that
makes it coherent: keep only what was read after listening began and what no notification
that covers it has overtaken; drop everything when the listening connection breaks.
"""

import json
import threading
import time

import psycopg
from psycopg import sql


class NearCache:
    def __init__(self, conninfo, namespace):
        self._namespace = namespace
        self._reader = psycopg.connect(conninfo, autocommit=True)
        self._lock = threading.Lock()
        self._entries = {}  # key: (value, tags, dependencies, deadline)
        self._fills = []  # [key, overtaken] of reads under way
        self._listening = False
        self.seen = 0  # sequence of the newest notification
        self._listener = psycopg.connect(conninfo, autocommit=True)
        channel = self._listener.execute("SELECT cache_channel(%s)", (namespace,)).fetchone()[0]
        self._listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self._listening = True
        threading.Thread(target=self._run, daemon=True).start()

    def get(self, key):
        """The value of a key, or None."""
        with self._lock:
            value, _, _, deadline = self._entries.get(key, (None, None, None, 0))
            if value is not None and time.monotonic() < deadline:
                return value
            fill = [key, not self._listening]
            self._fills.append(fill)
        row = None
        try:
            row = self._reader.execute(
                "SELECT value, tags, dependencies, ttl_ms FROM blob WHERE ns = %s AND key = %s",
                (self._namespace, key),
                binary=True,
            ).fetchone()
        finally:
            with self._lock:
                self._fills.remove(fill)
                if row is not None and not fill[1]:
                    value, tags, dependencies, ttl_ms = row
                    deadline = float("inf") if ttl_ms is None else time.monotonic() + ttl_ms / 1000
                    self._entries[key] = (value, tags or [], dependencies or [], deadline)
        return None if row is None else row[0]

    def _run(self):
        try:
            for notification in self._listener.notifies():
                self._forget(json.loads(notification.payload))
        except psycopg.Error:
            pass
        finally:
            with self._lock:
                self._listening = False
                self._drop(lambda key, entry: True)

    def _forget(self, n):
        covers = {
            "put": lambda key, entry: key == n.get("key"),
            "key": lambda key, entry: key == n.get("key"),
            "prefix": lambda key, entry: key.startswith(n.get("prefix", "")),
            # The labels of a read under way are not known yet: its entry is None.
            "tags": lambda key, entry: entry is None or bool(set(entry[1]) & set(n["tags"])),
            "dependencies": lambda key, entry: entry is None or bool(set(entry[2]) & set(n["dependencies"])),
        }.get(n["op"], lambda key, entry: True)
        with self._lock:
            self._drop(covers)
            self.seen = max(self.seen, n.get("seq", 0))

    def _drop(self, covers):
        for key in [key for key, entry in self._entries.items() if covers(key, entry)]:
            del self._entries[key]
        for fill in self._fills:
            fill[1] = fill[1] or covers(fill[0], None)
