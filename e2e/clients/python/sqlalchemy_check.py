"""SQLAlchemy: reflection, Core and ORM over psycopg 2."""

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, declarative_base

from steps import EVERY_BYTE, contains, equal, run

engine = sa.create_engine("postgresql+psycopg2://", future=True)
blob = None


def reflect():
    global blob
    if blob is None:
        blob = sa.Table("blob", sa.MetaData(), autoload_with=engine)
    return blob


def one(sql, **args):
    with engine.begin() as c:
        return c.execute(sa.text(sql), args).scalar()


def connect():
    equal(one("SELECT 1"), 1)


def text():
    one("SELECT cache_put('sqlalchemy', :k, :v)", k="text", v="héllo".encode())
    equal(one("SELECT value_text FROM blob WHERE ns = 'sqlalchemy' AND key = :k", k="text"), "héllo")


def binary():
    one("SELECT cache_put('sqlalchemy', 'bytes', :v)", v=EVERY_BYTE)
    equal(bytes(one("SELECT value FROM blob WHERE ns = 'sqlalchemy' AND key = 'bytes'")), EVERY_BYTE)


def error():
    try:
        with engine.begin() as c:
            c.execute(sa.text("INSERT INTO blob (ns, key, value) VALUES ('sqlalchemy', 'text', 'again')"))
        raise AssertionError("no error")
    except IntegrityError as e:
        equal(e.orig.pgcode, "23505")


def transaction():
    with engine.connect() as c:
        with c.begin() as tx:
            c.execute(sa.text("SELECT cache_put('sqlalchemy', 'tx', 'rolled back')"))
            tx.rollback()
        equal(c.execute(sa.text("SELECT value FROM blob WHERE ns = 'sqlalchemy' AND key = 'tx'")).all(), [])
    one("SELECT cache_put('sqlalchemy', 'tx', 'committed')")
    equal(one("SELECT value_text FROM blob WHERE ns = 'sqlalchemy' AND key = 'tx'"), "committed")


def invalidate():
    one("SELECT cache_put('sqlalchemy', 'tagged', 'x', tags => :t)", t=["t"])
    equal(one("SELECT invalidate_tags('sqlalchemy', 't')"), 1)


def introspect():
    inspector = sa.inspect(engine)
    contains(inspector.get_table_names(), "blob")
    contains([c["name"] for c in inspector.get_columns("blob")], "value")
    equal(inspector.get_pk_constraint("blob")["constrained_columns"], ["ns", "key"])
    inspector.get_indexes("blob"), inspector.get_foreign_keys("blob"), inspector.get_table_comment("blob")


def more():
    t = reflect()
    with engine.begin() as c:
        c.execute(sa.insert(t), [{"ns": "sqlalchemy", "key": f"core{i}", "value": b"x"} for i in range(20)])
        rows = c.execute(sa.select(t.c.key, t.c.size).where(t.c.ns == "sqlalchemy", t.c.key.like("core%")).order_by(t.c.key).limit(5)).all()
        equal(rows[0], ("core0", 1))
    base = declarative_base()
    stats = type("Namespace", (base,), {"__table__": sa.Table("cache_namespaces", base.metadata, sa.Column("ns", sa.Text, primary_key=True), autoload_with=engine)})
    with Session(engine) as session:
        found = session.query(stats).filter_by(ns="sqlalchemy").one()
        assert found.entries >= 20, found.entries
        total = session.query(sa.func.sum(stats.entries), sa.func.count()).one()
        assert total[0] >= 20 and total[1] >= 1, total


run([(f.__name__, f) for f in (connect, text, binary, error, transaction, invalidate, introspect, more)])
