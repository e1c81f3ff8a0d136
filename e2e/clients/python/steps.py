"""What every check in this folder does: run steps and print a line for each."""

import os

EVERY_BYTE = bytes(range(256))


def run(steps):
    """Runs (name, function) pairs."""
    for name, step in steps:
        try:
            step()
            print(f"{name}: ok")
        except Exception as e:  # whatever it is, the line says so
            print(f"{name}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")


def environment(name):
    return os.environ[name]


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def contains(list_, item):
    assert item in list_, f"{item!r} is not in {list_!r}"
