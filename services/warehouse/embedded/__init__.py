"""ClickHouse's HTTP interface over chdb, the engine as a Python library, for one machine without a server.

Served, as by clickhouse-server of the same version:

- `/`, `/ping` and `/replicas_status` (there are none that could lag);
- the statement in the URL (`query`), in the body, begun in one and ended in the other, or as a form;
- `database`, `default_format`, `query_id`, `param_*`, any setting of the engine but those that allowed.py holds;
- INSERT with its data in any format of allowed.FORMATS; SELECT in the same; GET is read-only;
- Content-Encoding gzip, deflate, zstd and lz4; Accept-Encoding gzip, zstd and lz4 with
  `enable_http_compression=1`; lz4 where its package is there (Python up to 3.13);
- sessions (`session_id`, `session_timeout`, `session_check`, `close_session`): temporary tables, SET and USE;
- X-ClickHouse-Progress with `send_progress_in_http_headers=1`, until the first block of the result;
- user and password by X-ClickHouse-User and -Key, by Basic, or by URL;
- X-ClickHouse-Query-Id, -Timezone, -Format, -Summary (of a streamed SELECT: zeros), -Exception-Code, -Exception-Tag;
- ClickHouse's own error codes, messages and HTTP statuses, also after the first block.

Not served: ClickHouse's own block compression (`compress`, `decompress`), external tables, roles and quotas,
`wait_end_of_query` (a result that can be sent block by block is), and the other paths of clickhouse-server.
Narrower than there: statements are made of what allowed.py names; VALUES takes literals, not expressions; a request
that names no database works in `sharehouse`, and `default` holds no tables; `system` may only be read; an INSERT's
rows are held in memory until they are all there (a large body's are parsed while it comes in), and `async_insert`
changes nothing; a request without session_id cannot SET, USE or make what is temporary; parameters (SET param_x) do not
stay in a session, for the engine forgets them with those of the next statement; a request that may only read (GET,
`readonly`) does not write to its session's temporary tables either; at most 100 sessions have a state; results in
formats with a foot (JSON, Parquet and others) are made whole in memory, up to 128 MiB, before they are sent (code 396
beyond); a client that takes nothing of its reply for 30 s is dropped, and one that leaves takes its statement with it.
"""
