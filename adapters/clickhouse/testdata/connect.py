"""What a BI tool does with clickhouse-connect: argv is port, writer's password, reader's password."""
import sys
import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

port, writer, reader = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def client(name, password, **more):
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username=name, password=password,
                                         database="recapito", autogenerate_session_id=False, **more)


for compress in (True, False, "lz4", "zstd", "gzip"):
    c = client("recapito", writer, compress=compress)
    c.command("DROP TABLE IF EXISTS connected")
    c.command("CREATE TABLE connected (tenant LowCardinality(String), n UInt64, at DateTime64(3, 'UTC'), tags Array(String),"
              " o Nullable(String)) ENGINE = MergeTree ORDER BY (tenant, n)")
    import datetime
    at = datetime.datetime(2026, 11, 23, 12, 0, 0, 5000, tzinfo=datetime.timezone.utc)
    c.insert("connected", [["a", 1, at, ["x", "y"], None], ["b", 2, at, [], "ü"]],
             column_names=["tenant", "n", "at", "tags", "o"])
    rows = c.query("SELECT tenant, n, at, tags, o FROM connected ORDER BY n").result_rows
    assert [r[0] for r in rows] == ["a", "b"] and rows[0][3] == ["x", "y"] and rows[1][4] == "ü", rows
    assert c.query("SELECT %(v)s", parameters={"v": "it's"}).result_rows == [("it's",)]
    assert c.query("SELECT {v:String}", parameters={"v": "it's"}).result_rows == [("it's",)]
    assert len(c.query("SELECT number, toLowCardinality(toString(number)) FROM numbers(200000)").result_rows) == 200000
    assert c.command("SELECT count() FROM connected") == 2
    assert c.raw_query("SELECT 1 AS a", fmt="JSONEachRow") == b'{"a":1}\n'
    with c.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(len(block) for block in stream) == 300000
    try:
        c.query("SELECT * FROM nosuch")
        raise AssertionError("no error")
    except DatabaseError as e:
        assert "60" in str(e), e
    c.close()

# As most programs make it: it names a session then.
d = clickhouse_connect.get_client(host="127.0.0.1", port=port, username="recapito", password=writer, database="recapito")
assert d.query("SELECT max(number) FROM numbers(10)", settings={"max_threads": 1}).result_rows == [(9,)]
d.insert("connected", [["a", 3]], column_names=["tenant", "n"])
d.command("ALTER TABLE connected DELETE WHERE n = 3", settings={"mutations_sync": 1})
try:
    d.command("CREATE TEMPORARY TABLE kept (a Int8)")
    raise AssertionError("a temporary table that is gone at once")
except DatabaseError as e:
    assert "48" in str(e), e

d.command("CREATE VIEW shown AS SELECT * FROM connected")
r = clickhouse_connect.get_client(host="127.0.0.1", port=port, username="bi", password=reader, database="recapito")
assert r.command("SELECT count() FROM shown") == 1
r = client("bi", reader)
assert r.query("SELECT tenant, n FROM shown").result_rows == [("a", 1)]
assert r.query("SELECT name FROM system.tables").result_rows == [("shown",)]
try:
    r.command("DROP TABLE connected")
    raise AssertionError("a reader drops")
except DatabaseError as e:
    assert "164" in str(e), e
try:
    client("bi", "wrong")
    raise AssertionError("a wrong password")
except DatabaseError as e:
    assert "516" in str(e), e
print("ok", clickhouse_connect.__version__ if hasattr(clickhouse_connect, "__version__") else "")
