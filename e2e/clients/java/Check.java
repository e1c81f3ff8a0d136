import java.sql.*;
import java.util.*;

/** pgJDBC: PreparedStatement (server-side after five runs, binary), batches, fetch size, DatabaseMetaData. */
public class Check {
    interface Step { void run() throws Exception; }

    static Connection db;

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) throw new AssertionError("got " + got + ", want " + want);
    }

    static void step(String name, Step step) {
        try {
            step.run();
            System.out.println(name + ": ok");
        } catch (Throwable e) {
            System.out.println(name + ": " + String.valueOf(e.getMessage()).split("\n")[0]);
        }
    }

    static Object one(String sql, Object... args) throws SQLException {
        try (PreparedStatement s = db.prepareStatement(sql)) {
            for (int i = 0; i < args.length; i++) s.setObject(i + 1, args[i]);
            try (ResultSet r = s.executeQuery()) { return r.next() ? r.getObject(1) : null; }
        }
    }

    static void put(String key, byte[] value) throws SQLException {
        one("SELECT cache_put('jdbc', ?, ?)", key, value);
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> env = System.getenv();
        Properties p = new Properties();
        p.setProperty("user", env.get("PGUSER"));
        p.setProperty("password", env.get("PGPASSWORD"));
        p.setProperty("sslmode", env.get("PGSSLMODE"));
        if (!env.get("PGSSLMODE").equals("disable")) p.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        db = DriverManager.getConnection("jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE"), p);
        byte[] everyByte = new byte[256];
        for (int i = 0; i < 256; i++) everyByte[i] = (byte) i;

        step("connect", () -> equal(one("SELECT 1"), 1));
        step("text", () -> {
            put("text", "h\u00e9llo".getBytes("UTF-8"));
            for (int i = 0; i < 8; i++) equal(one("SELECT value_text FROM blob WHERE ns = 'jdbc' AND key = ?", "text"), "h\u00e9llo");
        });
        step("binary", () -> {
            for (int i = 0; i < 8; i++) put("bytes", everyByte); // the sixth is prepared on the server
            for (int i = 0; i < 8; i++) equal(Arrays.equals((byte[]) one("SELECT value FROM blob WHERE ns = 'jdbc' AND key = ?", "bytes"), everyByte), true);
        });
        step("error", () -> {
            try {
                db.createStatement().executeUpdate("INSERT INTO blob (ns, key, value) VALUES ('jdbc', 'text', 'again')");
            } catch (SQLException e) {
                equal(e.getSQLState(), "23505");
                return;
            }
            throw new AssertionError("no error");
        });
        step("transaction", () -> {
            db.setAutoCommit(false);
            put("tx", new byte[] {1});
            db.rollback();
            equal(one("SELECT value FROM blob WHERE ns = 'jdbc' AND key = 'tx'"), null);
            Savepoint before = db.setSavepoint();
            put("tx", new byte[] {1});
            db.rollback(before);
            put("tx", new byte[] {2});
            db.commit();
            db.setAutoCommit(true);
            equal(((byte[]) one("SELECT value FROM blob WHERE ns = 'jdbc' AND key = 'tx'"))[0], (byte) 2);
        });
        step("invalidate", () -> {
            one("SELECT cache_put('jdbc', 'tagged', 'x', tags => ?)", db.createArrayOf("text", new String[] {"t"}));
            equal(one("SELECT invalidate_tags('jdbc', 't')"), 1L);
            try (CallableStatement s = db.prepareCall("{? = call invalidate_key(?, ?)}")) {
                s.registerOutParameter(1, Types.BIGINT);
                s.setString(2, "jdbc");
                s.setString(3, "tx");
                s.execute();
                equal(s.getLong(1), 1L);
            }
        });
        step("introspect", () -> {
            DatabaseMetaData m = db.getMetaData();
            List<String> keys = new ArrayList<>(), columns = new ArrayList<>(), tables = new ArrayList<>();
            try (ResultSet r = m.getTables(null, "public", "%", new String[] {"TABLE"})) { while (r.next()) tables.add(r.getString("TABLE_NAME")); }
            try (ResultSet r = m.getColumns(null, "public", "blob", "%")) { while (r.next()) columns.add(r.getString("COLUMN_NAME") + " " + r.getString("TYPE_NAME")); }
            try (ResultSet r = m.getPrimaryKeys(null, "public", "blob")) { while (r.next()) keys.add(r.getString("COLUMN_NAME")); }
            equal(tables.contains("blob"), true);
            equal(columns.contains("value bytea"), true);
            Collections.sort(keys);
            equal(keys, List.of("key", "ns"));
            m.getIndexInfo(null, "public", "blob", false, true).close();
            m.getFunctions(null, "public", "%").close();
            m.getSchemas().close();
            m.getTypeInfo().close();
        });
        step("more", () -> {
            try (PreparedStatement s = db.prepareStatement("INSERT INTO blob (ns, key, value) VALUES (?, ?, ?) ON CONFLICT (ns, key) DO NOTHING")) {
                for (int i = 0; i < 50; i++) {
                    s.setString(1, "jdbc");
                    s.setString(2, "many" + i);
                    s.setBytes(3, everyByte);
                    s.addBatch();
                }
                equal(Arrays.stream(s.executeBatch()).sum(), 50);
            }
            db.setAutoCommit(false);
            try (PreparedStatement s = db.prepareStatement("SELECT key FROM blob WHERE ns = 'jdbc' AND key LIKE 'many%'")) {
                s.setFetchSize(7);
                int n = 0;
                try (ResultSet r = s.executeQuery()) { while (r.next()) n++; }
                equal(n, 50);
            }
            db.commit();
            db.setAutoCommit(true);
        });
        db.close();
    }
}
