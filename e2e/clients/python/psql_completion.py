"""psql's tab completion, through a pseudo terminal. Prints what appeared after each request."""

import os
import pty
import select
import sys

REQUESTS = [("SELECT * FROM cache_na\t", "cache_namespaces"), ("DELETE FROM bl\t", "blob"), ("SET pgcache.na\t", "pgcache.namespace")]

pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", PSQL_PAGER="cat", INPUTRC="/dev/null")
    os.execvp("psql", ["psql", "-X", "-q"])


def read_until(text):
    seen = ""
    while text not in seen:
        if not select.select([terminal], [], [], 20)[0]:
            sys.exit(f"waited for {text!r}, saw {seen!r}")
        seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


read_until("=> ")
for request, completed in REQUESTS:
    os.write(terminal, request.encode())
    read_until(completed)
    os.write(terminal, b"\x15")  # kill the line
os.write(terminal, b"\\q\n")
print("completed")
