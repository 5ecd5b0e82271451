import java.sql.*;
import java.util.Properties;

/** What a BI tool does over JDBC: the arguments are port, writer's password, reader's password. */
public class Peer {
    static Connection open(String port, String user, String password, String compress) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", user);
        p.setProperty("password", password);
        p.setProperty("compress", compress);
        return DriverManager.getConnection("jdbc:clickhouse:http://127.0.0.1:" + port + "/recapito", p);
    }

    static void check(boolean ok, String what) {
        if (!ok) throw new AssertionError(what);
    }

    static String one(Connection c, String query) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(query)) {
            StringBuilder b = new StringBuilder();
            while (r.next()) b.append(r.getString(1)).append(' ');
            return b.toString().trim();
        }
    }

    static void fails(Connection c, String query, String code) {
        try (Statement s = c.createStatement()) {
            s.execute(query);
        } catch (SQLException e) {
            check(e.toString().contains(code), query + ": " + e);
            return;
        }
        throw new AssertionError(query + " did not fail");
    }

    public static void main(String[] args) throws Exception {
        for (String compress : new String[] {"true", "false"}) {
            try (Connection c = open(args[0], "recapito", args[1], compress); Statement s = c.createStatement()) {
                s.execute("DROP TABLE IF EXISTS jdbc");
                s.execute("CREATE TABLE jdbc (tenant LowCardinality(String), n UInt64, at DateTime64(3, 'UTC'), o Nullable(String)) ENGINE = MergeTree ORDER BY (tenant, n)");
                try (PreparedStatement p = c.prepareStatement("INSERT INTO jdbc (tenant, n, o) VALUES (?, ?, ?)")) {
                    for (int i = 0; i < 3; i++) {
                        p.setString(1, i == 0 ? "a" : "b");
                        p.setLong(2, i);
                        p.setString(3, i == 2 ? null : "it's \\ " + i);
                        p.addBatch();
                    }
                    p.executeBatch();
                }
                check(one(c, "SELECT count() FROM jdbc").equals("3"), "count");
                check(one(c, "SELECT o FROM jdbc WHERE n = 1").equals("it's \\ 1"), "text");
                try (PreparedStatement p = c.prepareStatement("SELECT n FROM jdbc WHERE tenant = ? ORDER BY n")) {
                    p.setString(1, "b");
                    try (ResultSet r = p.executeQuery()) {
                        check(r.next() && r.getLong(1) == 1 && r.next() && r.getLong(1) == 2 && !r.next(), "prepared");
                    }
                }
                try (ResultSet r = s.executeQuery("SELECT number, toString(number), toDateTime64(number, 3, 'UTC'), [number] FROM numbers(200000)")) {
                    long n = 0;
                    while (r.next()) check(r.getLong(1) == n++, "row");
                    check(n == 200000, "rows");
                }
                fails(c, "SELECT * FROM nosuch", "60");
            }
        }
        try (Connection c = open(args[0], "recapito", args[1], "true"); Statement s = c.createStatement()) {
            s.execute("CREATE VIEW shown AS SELECT * FROM jdbc");
        }
        try (Connection c = open(args[0], "bi", args[2], "true")) {
            check(one(c, "SELECT n FROM shown").equals("0"), "a reader sees its tenant");
            DatabaseMetaData m = c.getMetaData();
            boolean found = false;
            try (ResultSet r = m.getTables(null, "recapito", "%", null)) {
                while (r.next()) found |= r.getString("TABLE_NAME").equals("shown");
            }
            check(found, "getTables");
            int columns = 0;
            try (ResultSet r = m.getColumns(null, "recapito", "shown", "%")) {
                while (r.next()) columns++;
            }
            check(columns == 4, "getColumns " + columns);
            fails(c, "DROP TABLE jdbc", "164");
        }
        try (Connection c = open(args[0], "bi", "wrong", "true")) {
            fails(c, "SELECT 1", "516");
        } catch (SQLException e) {
            check(e.toString().contains("516") || e.toString().contains("Authentication"), "wrong password: " + e);
        }
        System.out.println("ok");
    }
}
