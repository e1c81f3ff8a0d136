"""Django: its database backend over psycopg 2, models without migrations, inspectdb."""

import io

import django
from django.conf import settings

from steps import EVERY_BYTE, contains, environment, equal, run

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": environment("PGDATABASE"),
            "USER": environment("PGUSER"),
            "PASSWORD": environment("PGPASSWORD"),
            "HOST": environment("PGHOST"),
            "PORT": environment("PGPORT"),
        }
    },
    INSTALLED_APPS=[],
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import IntegrityError, connection, models, transaction as tx  # noqa: E402
from django.db.models import Count, Sum  # noqa: E402


class Namespace(models.Model):
    ns = models.TextField(primary_key=True)
    entries = models.BigIntegerField()

    class Meta:
        managed = False
        app_label = "check"
        db_table = "cache_namespaces"


def one(sql, *args):
    with connection.cursor() as c:
        c.execute(sql, args)
        row = c.fetchone()
        return row and row[0]


def connect():
    equal(one("SELECT 1"), 1)


def text():
    one("SELECT cache_put('django', %s, %s)", "text", "héllo".encode())
    equal(one("SELECT value_text FROM blob WHERE ns = 'django' AND key = %s", "text"), "héllo")


def binary():
    one("SELECT cache_put('django', 'bytes', %s)", EVERY_BYTE)
    equal(bytes(one("SELECT value FROM blob WHERE ns = 'django' AND key = 'bytes'")), EVERY_BYTE)


def error():
    try:
        one("INSERT INTO blob (ns, key, value) VALUES ('django', 'text', 'again')")
        raise AssertionError("no error")
    except IntegrityError as e:
        equal(e.__cause__.pgcode, "23505")


def transaction():
    try:
        with tx.atomic():
            one("SELECT cache_put('django', 'tx', 'rolled back')")
            raise KeyError
    except KeyError:
        pass
    equal(one("SELECT value FROM blob WHERE ns = 'django' AND key = 'tx'"), None)
    with tx.atomic():
        one("SELECT cache_put('django', 'tx', 'committed')")
        try:
            with tx.atomic():  # a savepoint
                one("SELECT cache_put('django', 'tx', 'undone')")
                raise KeyError
        except KeyError:
            pass
    equal(one("SELECT value_text FROM blob WHERE ns = 'django' AND key = 'tx'"), "committed")


def invalidate():
    one("SELECT cache_put('django', 'tagged', 'x', tags => %s)", ["t"])
    equal(one("SELECT invalidate_tags('django', 't')"), 1)


def introspect():
    contains(connection.introspection.table_names(), "blob")
    out = io.StringIO()
    call_command("inspectdb", "blob", "cache_namespaces", stdout=out)
    contains(out.getvalue(), "value = models.BinaryField")


def more():
    row = Namespace.objects.get(pk="django")
    assert row.entries >= 3, row.entries
    total = Namespace.objects.filter(ns__startswith="dj").aggregate(Sum("entries"), Count("ns"))
    equal(total["ns__count"], 1)


run([(f.__name__, f) for f in (connect, text, binary, error, transaction, invalidate, introspect, more)])
