"""Every way known to us in which SQL could reach this machine's files or network through the engine: each refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.tests.warehouse.embedded.conftest import Http, Listener, on_bare_engine

if TYPE_CHECKING:
    from pathlib import Path

# {file}: a readable file with one line; {new}: a path that does not exist; {port}: a web server on this machine.
# These work on the bare engine: the test shows that too.
OPEN_ON_BARE_ENGINE = {
    "file table function": "SELECT * FROM file('{file}', 'LineAsString')",
    "file table function, quoted": "SELECT * FROM `file`('{file}', 'LineAsString')",
    "file in a comment's shadow": "SELECT /* file */ * FROM /**/ file /**/ ('{file}', 'LineAsString') -- x",
    "file scalar function": "SELECT file('{file}')",
    "file scalar in arrayMap": "SELECT arrayMap(p -> file(p), ['{file}'])",
    "file by APPLY": "SELECT * APPLY(file) FROM (SELECT '{file}')",
    "file in WHERE": "SELECT 1 WHERE file('{file}') != ''",
    "file in a subquery": "SELECT 1 WHERE 1 IN (SELECT count() FROM file('{file}', 'LineAsString'))",
    "file in WITH": "WITH x AS (SELECT * FROM file('{file}', 'LineAsString')) SELECT * FROM x",
    "file by UNION": "SELECT '' UNION ALL SELECT * FROM file('{file}', 'LineAsString')",
    "file in a JOIN": "SELECT * FROM numbers(1) AS n CROSS JOIN file('{file}', 'LineAsString') AS f",
    "file, FROM first": "FROM file('{file}', 'LineAsString') SELECT *",
    "file in view()": "SELECT * FROM view(SELECT * FROM file('{file}', 'LineAsString'))",
    "file in loop()": "SELECT * FROM loop(file('{file}', 'LineAsString')) LIMIT 1",
    "file as a table's name": "SELECT * FROM default.`{file}`",
    "file, DESCRIBE": "DESCRIBE TABLE file('{file}', 'LineAsString')",
    "file, EXPLAIN": "EXPLAIN SELECT * FROM file('{file}', 'LineAsString')",
    "file, EXPLAIN SYNTAX": "EXPLAIN SYNTAX SELECT file('{file}')",
    "file by CREATE AS table function": "CREATE TABLE d1 AS file('{file}', 'LineAsString')",
    "file by CREATE AS SELECT": "CREATE TABLE d2 ENGINE = Memory AS SELECT * FROM file('{file}', 'LineAsString')",
    "file by a view": "CREATE VIEW d3 AS SELECT * FROM file('{file}', 'LineAsString')",
    "file in a DEFAULT": "CREATE TABLE d5 (a UInt8, b String DEFAULT file('{file}')) ENGINE = Memory",
    "file in an ALIAS": "CREATE TABLE d6 (a UInt8, b String ALIAS file('{file}')) ENGINE = Memory",
    "file in INSERT SELECT": "INSERT INTO FUNCTION null('s String') SELECT * FROM file('{file}', 'LineAsString')",
    "file in a settings string": "SELECT 1 AS x SETTINGS additional_result_filter = 'file(''{file}'') != '''''",
    "write by INSERT INTO FUNCTION": "INSERT INTO FUNCTION file('{new}', 'CSV', 'a UInt8') SELECT 1",
    "write by File engine": "CREATE TABLE d7 (a UInt8) ENGINE = File(CSV, '{new}')",
    "INTO OUTFILE": "SELECT 1 INTO OUTFILE '{new}'",
    "INTO OUTFILE, format": "SELECT 1 INTO OUTFILE '{new}' TRUNCATE FORMAT CSV",
    "INTO OUTFILE, append": "SELECT 1 INTO OUTFILE '{new}' APPEND",
    "INTO OUTFILE of SHOW": "SHOW TABLES INTO OUTFILE '{new}'",
    "INTO OUTFILE of EXPLAIN": "EXPLAIN SELECT 1 INTO OUTFILE '{new}'",
    "INTO OUTFILE of DESCRIBE": "DESCRIBE TABLE system.one INTO OUTFILE '{new}'",
    "INTO OUTFILE of EXISTS": "EXISTS TABLE system.one INTO OUTFILE '{new}'",
    "FROM INFILE": "INSERT INTO d0 FROM INFILE '{file}' FORMAT LineAsString",
    "second statement": "SELECT 1; SELECT 1 INTO OUTFILE '{new}'",
    "statement after a comment": "SELECT 1 /* ; */ ; SELECT * FROM file('{file}', 'LineAsString')",
    "url": "SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString')",
    "url engine": "CREATE TABLE d8 (a String) ENGINE = URL('http://127.0.0.1:{port}/', LineAsString)",
    "sqlite": "SELECT * FROM sqlite('{new}', 'sqlite_master')",
    "sqlite database": "CREATE DATABASE d10 ENGINE = SQLite('{new}')",
    "rocksdb in a folder": "CREATE TABLE d11 (a UInt8) ENGINE = EmbeddedRocksDB(0, '{new}') PRIMARY KEY a",
    "schema written to a file": "SELECT 1 AS a FORMAT Protobuf SETTINGS output_format_schema = '{new}.proto'",
    "executable engine": "CREATE TABLE d12 (a String) ENGINE = Executable('x', 'TSV')",
    "SQL function": "CREATE FUNCTION d13 AS (p) -> file(p)",
    "SYSTEM": "SYSTEM STOP MERGES",
    "SQL in a string": "SELECT * FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function = 1",
    "freeze": "ALTER TABLE d0 FREEZE",
    "detach": "DETACH TABLE d0",
    "attach": "ATTACH TABLE d0",
    "remote address": "SELECT * FROM remote('127.0.0.1', 'system.one')",
}

# These need something that the bare engine in this process lacks too (a server, a cluster, a bucket, a permission).
CLOSED = {
    "file table function, capitals": "SELECT * FROM FILE('{file}', 'LineAsString')",
    "file by a materialized view": (
        "CREATE MATERIALIZED VIEW d4 ENGINE = Memory POPULATE AS SELECT * FROM file('{file}', 'LineAsString')"
    ),
    "disk of a table": (
        "CREATE TABLE d9 (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = "
        "disk(type = s3_plain, endpoint = 'http://127.0.0.1:{port}/bucket/x/', access_key_id = 'a', "
        "secret_access_key = 'b', skip_access_check = 1)"
    ),
    "template read from a file": "SELECT 1 AS a FORMAT Template SETTINGS format_template_resultset = '{template}'",
    "s3": "SELECT * FROM s3('http://127.0.0.1:{port}/bucket/x', 'a', 'b', 'LineAsString')",
    "s3 engine": "CREATE TABLE d1 (a String) ENGINE = S3('http://127.0.0.1:{port}/bucket/x', 'a', 'b', 'CSV')",
    "s3 write": "INSERT INTO FUNCTION s3('http://127.0.0.1:{port}/bucket/x', 'a', 'b', 'CSV', 'a Int8') SELECT 1",
    "s3Cluster": "SELECT * FROM s3Cluster('default', 'http://127.0.0.1:{port}/bucket/x', 'LineAsString')",
    "gcs": "SELECT * FROM gcs('http://127.0.0.1:{port}/bucket/x', 'a', 'b', 'LineAsString')",
    "s3 queue": "CREATE TABLE d2 (a String) ENGINE = S3Queue('http://127.0.0.1:{port}/bucket/x', 'CSV')",
    "s3 database": "CREATE DATABASE d3 ENGINE = S3('http://127.0.0.1:{port}/bucket/', 'a', 'b')",
    "web disk": (
        "CREATE TABLE d4 (a UInt8) ENGINE = MergeTree ORDER BY a "
        "SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:{port}/')"
    ),
    "web disk by ALTER": (
        "ALTER TABLE d0 MODIFY SETTING disk = disk(type = web, endpoint = 'http://127.0.0.1:{port}/')"
    ),
    "disk of a database": (
        "CREATE DATABASE d5 ENGINE = Atomic SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:{port}/')"
    ),
    "disk of another engine": "CREATE TABLE d6 (a UInt8) ENGINE = Log SETTINGS disk = 'default'",
    "urlCluster": "SELECT * FROM urlCluster('default', 'http://127.0.0.1:{port}/', 'LineAsString')",
    "remoteSecure": "SELECT * FROM remoteSecure('127.0.0.1:{port}', 'system.one')",
    "cluster": "SELECT * FROM cluster('default', 'system.one')",
    "clusterAllReplicas": "SELECT * FROM clusterAllReplicas('default', 'system.one')",
    "Distributed": "CREATE TABLE d7 (a String) ENGINE = Distributed('default', 'system', 'one')",
    "executable": "SELECT * FROM executable('cat', 'TSV', 'a String', (SELECT '1'))",
    "python": "SELECT * FROM Python(sys)",
    "mysql": "SELECT * FROM mysql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
    "mysql engine": "CREATE TABLE d8 (a String) ENGINE = MySQL('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
    "mysql database": "CREATE DATABASE d9 ENGINE = MySQL('127.0.0.1:{port}', 'a', 'b', 'c')",
    "postgresql": "SELECT * FROM postgresql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')",
    "postgresql database": "CREATE DATABASE d10 ENGINE = PostgreSQL('127.0.0.1:{port}', 'a', 'b', 'c')",
    "mongodb": "SELECT * FROM mongodb('127.0.0.1:{port}', 'a', 'b', 'c', 'd', 'x Int8')",
    "redis": "SELECT * FROM redis('127.0.0.1:{port}', 'k', 'k String')",
    "jdbc": "SELECT * FROM jdbc('x', 'y')",
    "odbc": "SELECT * FROM odbc('x', 'y', 'z')",
    "hdfs": "SELECT * FROM hdfs('hdfs://127.0.0.1:{port}/x', 'TSV', 'a String')",
    "iceberg": "SELECT * FROM iceberg('http://127.0.0.1:{port}/bucket/x', 'a', 'b')",
    "icebergLocal": "SELECT * FROM icebergLocal('{new}')",
    "deltaLake": "SELECT * FROM deltaLake('http://127.0.0.1:{port}/bucket/x', 'a', 'b')",
    "deltaLakeLocal": "SELECT * FROM deltaLakeLocal('{new}')",
    "hudi": "SELECT * FROM hudi('http://127.0.0.1:{port}/bucket/x', 'a', 'b')",
    "kafka": "CREATE TABLE d11 (a String) ENGINE = Kafka('127.0.0.1:{port}', 't', 'g', 'CSV')",
    "file log": "CREATE TABLE d12 (a String) ENGINE = FileLog('{file}', 'CSV')",
    "filesystem": "SELECT * FROM filesystem('/')",
    "filesystem database": "CREATE DATABASE d13 ENGINE = Filesystem('/')",
    "format with a schema": "SELECT * FROM format(Protobuf, 'x') SETTINGS format_schema = '{file}:X'",
    "schema registry": (
        "SELECT 1 AS a FORMAT AvroConfluent SETTINGS format_avro_schema_registry_url = 'http://127.0.0.1:{port}/'"
    ),
    "dictionary of a file": (
        "CREATE DICTIONARY d14 (a UInt64, b String) PRIMARY KEY a SOURCE(FILE(PATH '{file}' FORMAT 'CSV')) "
        "LAYOUT(FLAT()) LIFETIME(1)"
    ),
    "dictionary of a URL": (
        "CREATE DICTIONARY d15 (a UInt64, b String) PRIMARY KEY a "
        "SOURCE(HTTP(URL 'http://127.0.0.1:{port}/' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(1)"
    ),
    "dictionary of a command": (
        "CREATE DICTIONARY d16 (a UInt64, b String) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'cat' FORMAT 'CSV')) "
        "LAYOUT(FLAT()) LIFETIME(1)"
    ),
    "dictionary of a server": (
        "CREATE DICTIONARY d17 (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(HOST '127.0.0.1' PORT {port} TABLE 't')) "
        "LAYOUT(FLAT()) LIFETIME(1)"
    ),
    "refreshed view": "CREATE MATERIALIZED VIEW d18 REFRESH EVERY 1 HOUR ENGINE = Memory AS SELECT 1 AS a",
    "BACKUP to a disk": "BACKUP TABLE d0 TO Disk('default', 'x')",
    "BACKUP to a file": "BACKUP TABLE d0 TO File('{new}')",
    "BACKUP to S3": "BACKUP TABLE d0 TO S3('http://127.0.0.1:{port}/bucket/x', 'a', 'b')",
    "RESTORE": "RESTORE TABLE d0 FROM File('{new}')",
    "attach from a path": "ATTACH TABLE d19 FROM '{new}' (a UInt8) ENGINE = MergeTree ORDER BY a",
    "fetch": "ALTER TABLE d0 FETCH PARTITION 1 FROM '/x'",
    "SYSTEM shutdown": "SYSTEM SHUTDOWN",
    "SYSTEM reload": "SYSTEM RELOAD CONFIG",
    "grant": "GRANT ALL ON *.* TO default",
    "create user": "CREATE USER d20",
    "named collection": "CREATE NAMED COLLECTION d21 AS a = 'b'",
    "execute as": "EXECUTE AS default SELECT 1",
    "parallel with": "CREATE TABLE d22 (a UInt8) ENGINE = Memory PARALLEL WITH SYSTEM STOP MERGES",
    "ai function": "SELECT aiGenerate('x')",
    "stack addresses": "SELECT addressToLine(1) SETTINGS allow_introspection_functions = 1",
    "data in a settings string": (
        "SELECT * FROM d0 SETTINGS additional_table_filters = {{'d0': 'file(''{file}'') != '''''}}"
    ),
    "another parser": "SET dialect = 'kusto'",
    "another engine by default": "SET default_table_engine = 'Log'",
    "errors written to a file": "SET input_format_record_errors_file_path = '{new}'",
    "INTO OUTFILE of KILL": "KILL QUERY WHERE query_id = 'x' INTO OUTFILE '{new}'",
    "INTO OUTFILE of DROP": "DROP TABLE IF EXISTS d23 INTO OUTFILE '{new}'",
    "INTO OUTFILE behind INSERT": "INSERT INTO d0 SELECT 'x' INTO OUTFILE '{new}'",
    "INTO OUTFILE behind DELETE": "DELETE FROM d0 WHERE 1 INTO OUTFILE '{new}'",
    "INTO OUTFILE below EXPLAIN AST": "EXPLAIN AST DELETE FROM d0 WHERE 1 INTO OUTFILE '{new}'",
    "options of the guard's own EXPLAIN": "graph = 1 SELECT 1 INTO OUTFILE '{new}'",
    "end of the guard's own EXPLAIN": "SELECT 1 INTO OUTFILE '{new}'; --",
}

# SYNTAX_ERROR, UNKNOWN_FORMAT, SETTING_CONSTRAINT_VIOLATION, ACCESS_DENIED; by GET also READONLY.
REFUSALS = {62, 73, 164, 452, 497}


def filled(statement: str, folder: Path, port: int) -> str:
    file = folder / "line.txt"
    file.write_text("a line\n")
    template = folder / "template.txt"
    template.write_text("${data}")
    return statement.format(file=file, new=folder / "new", port=port, template=template)


@pytest.mark.parametrize("door", [*OPEN_ON_BARE_ENGINE, *CLOSED])
def test_door_is_closed(http_client: Http, listener: Listener, tmp_path: Path, door: str) -> None:
    http_client.sql("CREATE TABLE d0 (a String) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'tiered'")
    statement = filled({**OPEN_ON_BARE_ENGINE, **CLOSED}[door], tmp_path, listener.port)
    before = sorted(tmp_path.iterdir())
    for method in (http_client.sql, http_client.get):
        reply = method(statement)
        assert reply.exception_code in REFUSALS, reply.text
        assert b"a line" not in reply.body.replace(statement.encode(), b"")
    assert sorted(tmp_path.iterdir()) == before
    assert listener.connections == 0


def test_doors_are_open_on_the_bare_engine(tmp_path: Path, listener: Listener) -> None:
    statements = ["CREATE TABLE d0 (a String) ENGINE = MergeTree ORDER BY a"]
    for number, statement in enumerate(OPEN_ON_BARE_ENGINE.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        statements.append(filled(statement, folder, listener.port))
    results = on_bare_engine(str(tmp_path / "engine"), statements)
    failed = {door: error for door, (error, _) in zip(OPEN_ON_BARE_ENGINE, results[1:], strict=True) if error}
    assert failed == {}


@pytest.mark.parametrize("data", ["(file('{file}'))", "(concat('a', 'b'))", "('x'), (file(toString('{file}')))"])
def test_values_are_literals(http_client: Http, tmp_path: Path, data: str) -> None:
    """Expressions in VALUES would run without being seen by the parser of statements."""
    http_client.sql("CREATE TABLE d0 (a String) ENGINE = Memory")
    reply = http_client.sql("INSERT INTO d0 VALUES " + filled(data, tmp_path, 1))
    assert reply.exception_code == 344
    assert http_client.value("SELECT count() FROM d0") == "0"


def test_insert_does_not_open_a_file_named_after_its_data(http_client: Http, tmp_path: Path) -> None:
    http_client.sql("CREATE TABLE d0 (a String) ENGINE = Memory")
    for tail in ("VALUES", "FORMAT Native", "FORMAT Values", "SETTINGS max_threads = 1 VALUES"):
        reply = http_client.sql(f"INSERT INTO d0 {tail} INTO OUTFILE '{tmp_path}/new'")
        assert reply.status != 200
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dialect", "kusto"),
        ("additional_result_filter", "1"),
        ("format_schema", "x"),
        ("default_table_engine", "Log"),
        ("input_format_values_interpret_expressions", "1"),
    ],
)
def test_held_settings_are_held_in_the_url_too(http_client: Http, name: str, value: str) -> None:
    assert http_client.sql("SELECT 1", **{name: value}).exception_code == 452
    assert http_client.get("SELECT 1", **{name: value}).exception_code == 452


@pytest.mark.parametrize("name", ["a b", "a = 1, dialect", "`dialect`", "", "é"])
def test_names_of_settings_are_names(http_client: Http, name: str) -> None:
    assert http_client.sql("SELECT 1", **{name: "1"}).exception_code == 115


def test_parameter_cannot_name_a_file(http_client: Http, tmp_path: Path) -> None:
    file = tmp_path / "line.txt"
    file.write_text("a line\n")
    assert http_client.sql("SELECT * FROM {t:Identifier}", param_t=str(file)).exception_code == 60
    assert http_client.sql("SELECT * FROM default.{t:Identifier}", param_t=str(file)).exception_code == 497
    assert http_client.sql("SELECT * FROM {t:Identifier}", param_t=str(file), database="default").exception_code == 497


def test_every_function_that_sounds_like_a_door_has_been_looked_at(http_client: Http) -> None:
    """A new engine brings new functions: who raises its version looks at those that this finds."""
    suspicious = (
        "SELECT lower(name) FROM system.functions WHERE match(lower(name), 'file|http|disk|s3|remote|socket|exec|script"
        "|python|^ai|llm|wasm|model|certificate|query$|zoo|keeper') AND NOT is_aggregate ORDER BY 1 FORMAT TSV"
    )
    refused = (
        "file showcertificate aiclassify aiembed aiextract aifilter aigenerate airedact aisimilarity aitranslate "
        "fuzzquery"
    )
    harmless = (
        "currentprofiles defaultprofiles enabledprofiles filesystemavailable filesystemcapacity filesystemunreserved "
        "formatquery getclienthttpheader highlightquery json_query normalizequery obfuscatequery tokenizequery "
        "zookeepersessionuptime"
    )
    assert set(http_client.value(suspicious).split("\n")) == {*refused.split(), *harmless.split()}
    for name in refused.split():
        assert http_client.sql(f"SELECT {name}('x')").exception_code == 497
