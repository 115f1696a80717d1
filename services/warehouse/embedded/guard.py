"""Which statements a client may run, decided on the tree that the engine's own parser gives.

The engine's grants (configuration.py) already close every table function, engine and command that reaches files or the
network. What they do not cover is closed here: files named by the statement itself (INTO OUTFILE, FROM INFILE), which
an engine in this process would open, several statements in one text, and kinds of statements nobody here needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.warehouse.embedded.engine_error import ACCESS_DENIED, SYNTAX_ERROR, EngineError
from services.warehouse.embedded.syntax_tree import Node, parse_tree

if TYPE_CHECKING:
    from services.warehouse.embedded.engine import Session

# Statements whose result is a stream of blocks.
STREAMED = frozenset({"SelectWithUnionQuery", "SelectIntersectExceptQuery"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """An allowed statement: its kind (the tree's root) and the output format that it names, if any."""

    kind: str
    output_format: str


def _output_format(root: Node) -> str:
    for child in root.children:
        if child.kind == "Identifier":
            return child.label
    return ""


def _syntax_error(session: Session, sql: str) -> EngineError:
    """The engine's own words on what does not parse; the text goes in as a bound value, so nothing of it can run."""
    escaped = sql.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    try:
        session.query("SELECT formatQuery({statement:String})", params={"statement": escaped})
    except EngineError as error:
        message = error.message.split(": In scope SELECT formatQuery(", 1)[0]
        return EngineError(error.code, f"{message} (SYNTAX_ERROR)" if error.code == SYNTAX_ERROR else error.message)
    return EngineError.own(SYNTAX_ERROR, "Syntax error: not a statement")


def check(session: Session, sql: str) -> Verdict:
    """Raise EngineError (ACCESS_DENIED or SYNTAX_ERROR) unless `sql` is one allowed statement. Runs nothing."""
    count, _ = session.classify(sql)
    if count > 1:
        raise EngineError.own(SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed)")
    if count == 0:
        raise _syntax_error(session, sql)
    root = parse_tree(session.query(f"EXPLAIN AST {sql}", "TSVRaw").bytes().decode())
    if any(child.kind == "Literal" for child in root.children):
        raise EngineError.own(ACCESS_DENIED, "A statement may not name files (INTO OUTFILE, FROM INFILE)")
    return Verdict(root.kind, _output_format(root))
