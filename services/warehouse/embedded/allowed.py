"""What a client's statement may be made of. Anything that is not named here is refused.

Names are those of the engine's syntax tree (EXPLAIN AST) and of its system tables.
"""

from __future__ import annotations

SELECTS = frozenset({"SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery"})

# What a session that may only read runs.
READS = SELECTS | {
    "CheckQuery",
    "DescribeQuery",
    "ExistsDatabaseQuery",
    "ExistsTableQuery",
    "ExistsViewQuery",
    "Explain",
    "ShowColumns",
    "ShowCreateDatabaseQuery",
    "ShowCreateTableQuery",
    "ShowCreateViewQuery",
    "ShowEngineQuery",
    "ShowFunctions",
    "ShowGrantsQuery",
    "ShowIndexes",
    "ShowProcesslistQuery",
    "ShowTables",
}

# They change a session, besides those that make something temporary.
OF_SESSIONS = frozenset({"Set", "UseQuery"})

STATEMENTS = (
    READS
    | OF_SESSIONS
    | {
        "AlterQuery",
        "CreateQuery",
        "DeleteQuery",
        "DropQuery",
        "InsertQuery",
        "KillQueryQuery",
        "OptimizeQuery",
        "Rename",
        "TruncateQuery",
        "UpdateQuery",
    }
)

# ColumnsApplyTransformer is left out on purpose: the tree does not show which function it applies.
PARTS = frozenset(
    {
        "AlterCommand",
        "ArrayJoin",
        "Assignment",
        "Asterisk",
        "ColumnDeclaration",
        "Columns",
        "ColumnsExceptTransformer",
        "ColumnsListMatcher",
        "ColumnsRegexpMatcher",
        "ColumnsReplaceTransformer",
        "ColumnsReplaceTransformer::Replacement",
        "ColumnsTransformerList",
        "Constraint",
        "DataType",
        "EnumDataType",
        "ExpressionList",
        "Function",
        "Identifier",
        "Index",
        "InterpolateElement",
        "Literal",
        "NameTypePair",
        "OrderByElement",
        "Partition",
        "Projection",
        "ProjectionSelectQuery",
        "QualifiedAsterisk",
        "QualifiedColumnsListMatcher",
        "QualifiedColumnsRegexpMatcher",
        "SampleRatio",
        "Set",
        "Storage",
        "StorageOrderByElement",
        "Subquery",
        "TTLElement",
        "TableExpression",
        "TableIdentifier",
        "TableJoin",
        "TablesInSelectQuery",
        "TablesInSelectQueryElement",
        "TupleDataType",
        "ViewTargets",
        "WindowDefinition",
        "WindowListElement",
        "WithElement",
    }
)

TABLE_FUNCTIONS = frozenset(
    "generate_series generaterandom generateseries mergetreeindex null numbers numbers_mt values view zeros "
    "zeros_mt".split()
)

ENGINES = frozenset(
    {
        "AggregatingMergeTree",
        "Atomic",
        "Buffer",
        "CoalescingMergeTree",
        "CollapsingMergeTree",
        "Join",
        "Log",
        "Memory",
        "Merge",
        "MergeTree",
        "Null",
        "ReplacingMergeTree",
        "Set",
        "StripeLog",
        "SummingMergeTree",
        "TinyLog",
        "VersionedCollapsingMergeTree",
    }
)

# Not ATTACH, FETCH, FREEZE, EXPORT: they read or write folders beside the tables.
ALTERATIONS = frozenset(
    "ADD_COLUMN DROP_COLUMN CLEAR_COLUMN MODIFY_COLUMN RENAME_COLUMN COMMENT_COLUMN MATERIALIZE_COLUMN MODIFY_COMMENT "
    "MODIFY_ORDER_BY MODIFY_SAMPLE_BY REMOVE_SAMPLE_BY ADD_INDEX DROP_INDEX MATERIALIZE_INDEX CLEAR_INDEX "
    "ADD_CONSTRAINT DROP_CONSTRAINT ADD_PROJECTION DROP_PROJECTION MATERIALIZE_PROJECTION CLEAR_PROJECTION "
    "ADD_STATISTICS DROP_STATISTICS MODIFY_STATISTICS MATERIALIZE_STATISTICS "
    "MODIFY_TTL REMOVE_TTL MATERIALIZE_TTL MODIFY_SETTING RESET_SETTING MODIFY_QUERY "
    "DROP_PARTITION DROP_DETACHED_PARTITION MOVE_PARTITION REPLACE_PARTITION ATTACH_PARTITION "
    "DELETE UPDATE APPLY_DELETED_MASK".split()
)

# Formats without a schema file, a template file or a registry on the network.
FORMATS = frozenset(
    "Native RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes RowBinaryWithDefaults Null RawBLOB MsgPack "
    "TabSeparated TabSeparatedWithNames TabSeparatedWithNamesAndTypes TabSeparatedRaw TabSeparatedRawWithNames "
    "TabSeparatedRawWithNamesAndTypes TSV TSVWithNames TSVWithNamesAndTypes TSVRaw TSVRawWithNames "
    "TSVRawWithNamesAndTypes TSKV CSV CSVWithNames CSVWithNamesAndTypes Values Vertical XML Markdown SQLInsert "
    "JSON JSONStrings JSONColumns JSONColumnsWithMetadata JSONCompact JSONCompactStrings JSONCompactColumns "
    "JSONEachRow JSONStringsEachRow JSONCompactEachRow JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes "
    "JSONCompactStringsEachRow JSONCompactStringsEachRowWithNames JSONCompactStringsEachRowWithNamesAndTypes "
    "JSONObjectEachRow JSONLines NDJSON PrettyJSONEachRow Pretty PrettyCompact PrettySpace PrettyNoEscapes "
    "PrettyCompactNoEscapes PrettySpaceNoEscapes PrettyMonoBlock PrettyCompactMonoBlock PrettySpaceMonoBlock "
    "LineAsString JSONAsString JSONAsObject BSONEachRow Parquet Arrow ArrowStream ORC Avro Prometheus One Hash".split()
)

# Functions that are also the name of a forbidden table function, and harmless.
SCALAR_TOO = frozenset({"format", "merge", "view", "null"})

# Settings held at their default, whoever sets them and wherever: in the URL, with SET, in a SETTINGS clause. They would
# name files or addresses, choose another parser or engine, or hide SQL in a string where the tree does not show it.
HELD_SETTINGS: dict[str, str] = {
    "additional_result_filter": "",
    "additional_table_filters": "{}",
    "allow_experimental_ai_functions": "0",
    "allow_introspection_functions": "0",
    "allow_python_table_function": "0",
    "ast_fuzzer_runs": "0",
    "default_database_engine": "Atomic",
    "default_table_engine": "MergeTree",
    "default_temporary_table_engine": "Memory",
    "dialect": "clickhouse",
    "format_avro_schema_registry_url": "",
    "format_schema": "",
    "format_schema_source": "file",
    "format_template_resultset": "",
    "format_template_row": "",
    "implicit_select": "0",
    "implicit_table_at_top_level": "",
    "input_format_record_errors_file_path": "",
    "input_format_values_deduce_templates_of_expressions": "0",
    "input_format_values_interpret_expressions": "0",
    "output_format_schema": "",
    "parallel_replicas_custom_key": "",
    "rename_files_after_processing": "",
    "s3_base": "",
    "url_base": "",
}
# The same for settings of MergeTree tables: a disk is named by a storage policy of the configuration alone.
HELD_TABLE_SETTINGS = ("disk", "table_disk")
