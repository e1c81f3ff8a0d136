/* libpq: binary parameters and results, pipeline mode, single-row mode. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGconn *db;
static char why[512];

static int fail(const char *what)
{
	snprintf(why, sizeof why, "%s: %s", what, PQerrorMessage(db));
	for (char *p = why; *p; p++)
		if (*p == '\n') *p = ' ';
	return 0;
}

/* one runs a statement with up to two parameters, the second in binary. */
static PGresult *one(const char *sql, const char *a, const char *b, int b_length)
{
	const char *values[2] = {a, b};
	int lengths[2] = {0, b_length}, formats[2] = {0, 1};
	return PQexecParams(db, sql, b ? 2 : a ? 1 : 0, NULL, values, lengths, formats, 1);
}

static int is(PGresult *r, const char *value, int length)
{
	int ok = PQntuples(r) == 1 && PQgetlength(r, 0, 0) == length && !memcmp(PQgetvalue(r, 0, 0), value, length);
	PQclear(r);
	return ok;
}

static int put(const char *key, const char *value, int length)
{
	PGresult *r = one("SELECT cache_put('libpq', $1, $2)", key, value, length);
	int ok = PQresultStatus(r) == PGRES_TUPLES_OK;
	PQclear(r);
	return ok;
}

static PGresult *get(const char *key) { return one("SELECT value FROM blob WHERE ns = 'libpq' AND key = $1", key, NULL, 0); }

static int count(PGresult *r)
{
	int n = PQntuples(r);
	PQclear(r);
	return n;
}

static int connect_(void) { return is(one("SELECT 1", NULL, NULL, 0), "\0\0\0\1", 4) || fail("select"); }

static int text(void) { return (put("text", "hello", 5) && is(get("text"), "hello", 5)) || fail("text"); }

static int binary(void)
{
	char every[256];
	for (int i = 0; i < 256; i++) every[i] = (char) i;
	return (put("bytes", every, 256) && is(get("bytes"), every, 256)) || fail("bytes");
}

static int error(void)
{
	PGresult *r = PQexec(db, "INSERT INTO blob (ns, key, value) VALUES ('libpq', 'text', 'again')");
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	int ok = state && !strcmp(state, "23505");
	PQclear(r);
	return ok || fail("sqlstate");
}

static int transaction(void)
{
	PQclear(PQexec(db, "BEGIN"));
	put("tx", "x", 1);
	PQclear(PQexec(db, "ROLLBACK"));
	if (count(get("tx")) != 0) return fail("rolled back");
	PQclear(PQexec(db, "BEGIN"));
	put("tx", "x", 1);
	PQclear(PQexec(db, "COMMIT"));
	return is(get("tx"), "x", 1) || fail("committed");
}

static int invalidate(void)
{
	PQclear(PQexec(db, "SELECT cache_put('libpq', 'tagged', 'x', tags => '{t}')"));
	PGresult *r = PQexec(db, "SELECT invalidate_tags('libpq', 't')");
	int ok = PQntuples(r) == 1 && !strcmp(PQgetvalue(r, 0, 0), "1");
	PQclear(r);
	return (ok && count(get("tagged")) == 0) || fail("invalidate");
}

static int introspect(void)
{
	return count(PQexec(db, "SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'blob'::regclass AND a.attnum > 0 AND a.attname = 'value'")) == 1
		|| fail("pg_attribute");
}

static int more(void)
{
	int rows = 0;
	if (!PQenterPipelineMode(db)) return fail("pipeline");
	for (int i = 0; i < 50; i++) {
		const char *key[1] = {"text"};
		if (!PQsendQueryParams(db, "SELECT value FROM blob WHERE ns = 'libpq' AND key = $1", 1, NULL, key, NULL, NULL, 1)) return fail("send");
	}
	PQpipelineSync(db);
	for (int i = 0; i < 50; i++) {
		PGresult *r = PQgetResult(db);
		rows += PQntuples(r);
		PQclear(r);
		PQclear(PQgetResult(db)); /* the end of this query */
	}
	PQclear(PQgetResult(db)); /* the sync */
	if (!PQexitPipelineMode(db) || rows != 50) return fail("pipeline");
	return 1;
}

int main(void)
{
	struct { const char *name; int (*run)(void); } steps[] = {
		{"connect", connect_}, {"text", text}, {"binary", binary}, {"error", error}, {"transaction", transaction},
		{"invalidate", invalidate}, {"introspect", introspect}, {"more", more},
	};
	db = PQconnectdb("");
	if (PQstatus(db) != CONNECTION_OK) {
		printf("connect: %s\n", PQerrorMessage(db));
		return 0;
	}
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		printf("%s: %s\n", steps[i].name, steps[i].run() ? "ok" : why);
	PQfinish(db);
	return 0;
}
