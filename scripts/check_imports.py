"""Imports point one way: ddpm_tui → engine, never back; and the engine never loads a terminal.

Reads every module's syntax tree, so imports inside functions count too.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

FORBIDDEN = ("textual", "typer", "rich", "plotext", "ddpm_tui")


def imported(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, module) of every import in a module, wherever it stands."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.lineno, node.module))
    return found


def main() -> int:
    root = Path(__file__).parent.parent / "engine"
    problems = [
        f"{path.relative_to(root.parent)}:{line}: the engine imports {module}"
        for path in sorted(root.rglob("*.py"))
        for line, module in imported(ast.parse(path.read_text(encoding="utf-8")))
        if module.split(".")[0] in FORBIDDEN
    ]
    print("\n".join(problems) or "imports point one way: ddpm_tui → engine")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
