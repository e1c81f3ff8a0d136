"""asyncpg: binary only, its own prepared statements, introspection of types, a pool."""

import asyncio

import asyncpg

from steps import EVERY_BYTE, contains, environment, equal, run

loop = asyncio.new_event_loop()


def ssl():
    if environment("PGSSLMODE") == "disable":
        return False
    import ssl

    return ssl.create_default_context(cafile=environment("PGSSLROOTCERT"))


def wait(awaitable):
    return loop.run_until_complete(awaitable)


connection = wait(asyncpg.connect(ssl=ssl()))


def connect():
    equal(wait(connection.fetchval("SELECT 1")), 1)


def text():
    wait(connection.execute("SELECT cache_put('asyncpg', $1, $2)", "text", "héllo".encode()))
    equal(wait(connection.fetchval("SELECT value_text FROM blob WHERE ns = 'asyncpg' AND key = $1", "text")), "héllo")


def binary():
    wait(connection.execute("SELECT cache_put('asyncpg', 'bytes', $1)", EVERY_BYTE))
    equal(wait(connection.fetchval("SELECT value FROM blob WHERE ns = 'asyncpg' AND key = 'bytes'")), EVERY_BYTE)


def error():
    try:
        wait(connection.execute("INSERT INTO blob (ns, key, value) VALUES ('asyncpg', 'text', 'again')"))
        raise AssertionError("no error")
    except asyncpg.UniqueViolationError as e:
        equal(e.sqlstate, "23505")
    connect()


async def rolled_back():
    async with connection.transaction():
        await connection.execute("SELECT cache_put('asyncpg', 'tx', 'rolled back')")
        raise KeyError


async def committed():
    async with connection.transaction():
        await connection.execute("SELECT cache_put('asyncpg', 'tx', 'committed')")


def transaction():
    try:
        wait(rolled_back())
    except KeyError:
        pass
    equal(wait(connection.fetch("SELECT value FROM blob WHERE ns = 'asyncpg' AND key = 'tx'")), [])
    wait(committed())
    equal(wait(connection.fetchval("SELECT value_text FROM blob WHERE ns = 'asyncpg' AND key = 'tx'")), "committed")


def invalidate():
    wait(connection.execute("SELECT cache_put('asyncpg', 'tagged', 'x', tags => $1)", ["t"]))
    equal(wait(connection.fetchval("SELECT invalidate_tags('asyncpg', VARIADIC $1)", ["t"])), 1)
    equal(wait(connection.fetch("SELECT value FROM blob WHERE ns = 'asyncpg' AND key = 'tagged'")), [])


def introspect():
    rows = wait(connection.fetch("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1", "blob"))
    contains([tuple(r) for r in rows], ("value", "bytea"))


async def everything():
    async with asyncpg.create_pool(ssl=ssl(), min_size=2, max_size=4) as pool:
        await asyncio.gather(*(pool.execute("SELECT cache_put('asyncpg', $1, 'x')", f"pool{i}") for i in range(40)))
        async with pool.acquire() as c:
            await c.executemany("SELECT cache_put('asyncpg', $1, $2)", [(f"many{i}", b"x") for i in range(50)])
            await c.copy_records_to_table("blob", columns=["ns", "key", "value"], records=[("asyncpg", "copied", EVERY_BYTE)])
            async with c.transaction():
                keys = [r["key"] async for r in c.cursor("SELECT key FROM blob WHERE ns = 'asyncpg' AND key LIKE 'many%'", prefetch=7)]
            equal(len(keys), 50)
            return await c.fetchval("SELECT value FROM blob WHERE ns = 'asyncpg' AND key = 'copied'")


def more():
    equal(wait(everything()), EVERY_BYTE)


run([(f.__name__, f) for f in (connect, text, binary, error, transaction, invalidate, introspect, more)])
