"""Which statements a client may run, decided on the tree that the engine's own parser gives, against allowed.py.

Three walls stand behind each other. This one names what a statement may be made of. The engine's grants
(configuration.py) close what reaches files or the network once more. Settings that open doors are held by the engine's
own constraints. Nothing is decided by looking for words in the text.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from services.warehouse.embedded import allowed, backups
from services.warehouse.embedded.engine import TAG_SETTING, tag_refusal
from services.warehouse.embedded.engine_error import ACCESS_DENIED, SYNTAX_ERROR, UNKNOWN_FORMAT, EngineError
from services.warehouse.embedded.statement import tokens
from services.warehouse.embedded.syntax_tree import Node, parse_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.warehouse.embedded.engine import Engine, Session

# Positions of the tree in which a Function is a table function.
TABLE_POSITIONS = frozenset({"TableExpression", "InsertQuery", "CreateQuery"})

# Types of parameters whose values are literals.
PLAIN_TYPES = frozenset({b"Float64", b"Int64", b"String", b"UInt16", b"UInt32", b"UInt64", b"UInt8"})

REMEMBERED = 1024
REMEMBERED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """An allowed statement: the text to run, its kind (the tree's root), the output format that it names, if any."""

    sql: str
    kind: str
    output_format: str
    of_session: bool = False

    @property
    def is_select(self) -> bool:
        return self.kind in allowed.SELECTS


def _refusal(what: str) -> EngineError:
    return EngineError.own(ACCESS_DENIED, f"Not served by the embedded server: {what}")


def session_refusal(statement: str) -> EngineError:
    """What a client reads that changes its session and has none."""
    return _refusal(
        f"{statement.split(' ', 1)[0]} without a session_id: nothing would be left of it for the next request; give a"
        " session_id, or put settings in the URL or a SETTINGS clause, the database in the URL, and use a table that is"
        " not temporary"
    )


def check_format(name: str) -> str:
    """Give `name` back if a client may use this format; raise EngineError otherwise."""
    if name not in allowed.FORMATS:
        raise EngineError.own(UNKNOWN_FORMAT, f"Unknown format {name}, or not served by the embedded server")
    return name


def _output_format(root: Node) -> str:
    names = [child.label for child in root.children if child.kind == "Identifier"]
    if root.kind in allowed.SELECTS:
        return check_format(names[-1]) if names else ""
    return names[-1] if names and names[-1] in allowed.FORMATS else ""


def canonical(session: Session, sql: str) -> str:
    """The one statement of `sql` as the engine's formatter writes it: no comments, no inline data, no second statement.

    The text goes in as a bound value, so nothing of it can run. EXPLAIN AST alone would not do: `INSERT ... VALUES INTO
    OUTFILE 'f'` below it writes the file. What is judged and run is this form, never the client's own text.
    """
    escaped = sql.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\0", "\\0")
    try:
        result = session.query("SELECT formatQuerySingleLine({sql:String})", "RawBLOB", {"sql": escaped})
    except EngineError as error:
        if error.code != SYNTAX_ERROR:
            raise
        message = error.message.split(": In scope SELECT formatQuerySingleLine(", 1)[0]
        raise EngineError(SYNTAX_ERROR, f"{message} (SYNTAX_ERROR)") from None
    text: str = result.bytes().decode()
    return text


def _check_settings(statement: str) -> None:
    """Refuse `disk = disk(...)`, for the engine opens the disk before it asks whether the setting may change, and the
    setting by which the statement is cancelled. The tree hides settings; `statement` is canonical, so its tokens are
    the parser's.
    """
    window = [b"", b""]
    in_settings = False
    tag = TAG_SETTING.encode()
    names_of_tag = ([b"settings", tag], [b"set", tag], [b",", tag])
    for token in tokens(statement.encode()):
        word = token.text.strip(b'`"').lower()
        if token.text == b"(" and window == [b"=", b"disk"]:
            raise _refusal("a disk described in the statement")
        if in_settings and token.text == b"=" and window in names_of_tag:
            raise tag_refusal()
        in_settings = in_settings or token.text in (b"SETTINGS", b"SET")
        window = [window[1], word]


def is_temporary(statement: str) -> bool:
    """Whether the canonical `statement` makes a temporary table; the tree does not show it."""
    words = (token.text.upper() for token in islice(tokens(statement.encode()), 4))
    before = list(takewhile(lambda word: word not in (b"TABLE", b"VIEW"), words))
    return before[:1] == [b"CREATE"] and b"TEMPORARY" in before


def binds_plain_values(statement: str) -> bool:
    """Whether the canonical `statement` has no parameter but numbers and strings, which are no more than that wherever
    they stand; an Identifier may be any name, so each of its values makes another statement.
    """
    stream = tokens(statement.encode())
    for token in stream:
        if token.kind == "{":
            name, colon, kind, end = (next(stream, None) for _ in range(4))
            if name is None or colon is None or kind is None or end is None:
                return False
            if (name.kind, colon.kind, end.kind) != ("word", ":", "}") or kind.text not in PLAIN_TYPES:
                return False
    return True


class Guard:
    """Checks statements; remembers its verdicts on those that bind plain values at most: the text alone decides."""

    def __init__(self, engine: Engine) -> None:
        table_functions = engine.text("SELECT lower(name) FROM system.table_functions").split("\n")
        functions = engine.text(
            "WITH closed AS (SELECT name FROM system.functions WHERE trim(categories) IN"
            " ('AI', 'Introspection', 'Embedded Dictionary'))"
            " SELECT lower(name) FROM system.functions WHERE name IN closed OR alias_to IN closed"
        ).split("\n")
        self._forbidden = (
            {*table_functions, *functions, "file", "showcertificate"} - allowed.TABLE_FUNCTIONS - allowed.SCALAR_TOO
        )
        self._remembered: OrderedDict[str, Verdict] = OrderedDict()

    def check(self, session: Session, sql: str, params: Mapping[str, str]) -> Verdict:
        """Raise EngineError unless `sql` is one allowed statement. Runs nothing.

        Of a verdict that is `of_session`, `session_refusal` is for requests without a session.
        """
        if verdict := self._remembered.get(sql):
            return verdict
        statement = canonical(session, sql)
        _check_settings(statement)
        root = parse_tree(session.query(f"EXPLAIN AST {statement}", "TSVRaw", params).bytes().decode())
        if root.kind in backups.KINDS:
            backups.check_backup(statement)
            return Verdict(statement, root.kind, "")
        if root.kind not in allowed.STATEMENTS:
            raise _refusal(f"statement {root.kind}")
        of_session = root.kind in allowed.OF_SESSIONS or is_temporary(statement)
        self._walk(root, None)
        verdict = Verdict(statement, root.kind, _output_format(root), of_session)
        if len(sql) <= REMEMBERED_BYTES and binds_plain_values(statement):
            self._remembered[sql] = verdict
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return verdict

    def _walk(self, node: Node, parent: Node | None) -> None:
        if node.kind not in allowed.PARTS and node.kind not in allowed.STATEMENTS:
            raise _refusal(f"{node.kind} {node.name}".rstrip())
        if node.kind in allowed.STATEMENTS:
            self._check_no_file(node)
        if node.kind == "Function":
            self._check_function(node, parent)
        elif node.kind == "Storage":
            self._check_storage(node)
        elif node.kind == "AlterCommand" and node.name not in allowed.ALTERATIONS:
            raise _refusal(f"ALTER TABLE ... {node.name}")
        for child in node.children:
            self._walk(child, node)

    @staticmethod
    def _check_no_file(statement: Node) -> None:
        """A string right below a statement is the file of INTO OUTFILE or FROM INFILE."""
        if any(child.kind == "Literal" and child.label.startswith("'") for child in statement.children):
            raise _refusal("files named in the statement (INTO OUTFILE, FROM INFILE)")

    def _check_function(self, node: Node, parent: Node | None) -> None:
        name = node.name.lower()
        if parent is not None and parent.kind in TABLE_POSITIONS:
            if name not in allowed.TABLE_FUNCTIONS:
                raise _refusal(f"table function {node.name}")
        elif parent is not None and parent.kind == "Storage" and parent.children[0] is node:
            if node.name not in allowed.ENGINES:
                raise _refusal(f"engine {node.name}")
        elif name in self._forbidden:
            raise _refusal(f"function {node.name}")

    @staticmethod
    def _check_storage(storage: Node) -> None:
        """Settings of an engine may name a disk; only those of MergeTree tables are held by constraints."""
        has_settings = any(child.kind == "Set" for child in storage.children)
        engine = storage.children[0] if storage.children else None
        of_merge_tree = engine is None or engine.kind != "Function" or engine.name.endswith("MergeTree")
        if has_settings and not of_merge_tree:
            raise _refusal("settings of an engine that is not of the MergeTree family")
