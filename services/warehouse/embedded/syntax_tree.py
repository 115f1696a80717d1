from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """One line of the engine's EXPLAIN AST: the node's kind, the rest of its line, and its children."""

    kind: str
    label: str
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The first word of the label: a function's name, an alteration's kind."""
        return self.label.partition(" ")[0]


def parse_tree(text: str) -> Node:
    """Read the text of EXPLAIN AST: one node a line, one space of indentation a level."""
    root: Node | None = None
    path: list[Node] = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip(" "))
        kind, _, label = line.strip().partition(" ")
        node = Node(kind, label)
        if root is None:
            root = node
            path = [node]
            continue
        depth = max(1, min(depth, len(path)))
        path[depth - 1].children.append(node)
        del path[depth:]
        path.append(node)
    if root is None:
        raise ValueError("empty syntax tree")
    return root
