"""The findings as text: a group at a time, aligned, and wrapped to the terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from ddpm_tui.sanitize import clean
from engine.doctor.finding import Finding, State

_MARKS: dict[State, str] = {"ok": "ok", "note": "note", "wrong": "WRONG"}
_INKS: dict[State, str] = {"ok": "32", "note": "33", "wrong": "1;31"}
_MARK, _NAME = 8, 18  # cells of the two columns before the text
_COMMAND = re.compile("`[^`]+`")
_LEAST = 20  # of the text


def cleaned(finding: Finding) -> Finding:
    """Safe to print: versions, paths and variables come from outside."""
    return replace(
        finding, name=clean(finding.name), found=clean(finding.found), fix=clean(finding.fix)
    )


def group_report(findings: Sequence[Finding], width: int, *, color: bool) -> str:
    """The lines of one group, under its name.

    Args:
        findings: cleaned, of one group, at least one.
        width: of the terminal, in cells.
    """
    lines = [_ink(findings[0].group, "1", color)]
    text_width = max(width - _MARK - _NAME - 1, _LEAST)
    for finding in findings:
        mark = _ink(_MARKS[finding.state].ljust(_MARK - 2), _INKS[finding.state], color)
        found = _wrap(finding.found, text_width)
        head, margin = finding.name.ljust(_NAME - 1), " " * (_MARK + _NAME)
        if len(finding.name) >= _NAME:
            lines.append(f"  {mark}{finding.name}")
        else:
            lines.append(f"  {mark}{head} {found.pop(0)}")
        lines += [margin + line for line in found]
        if finding.fix:
            first, *rest = _wrap(finding.fix, text_width - 2)
            lines += [f"{margin}→ {first}", *(f"{margin}  {line}" for line in rest)]
    return "\n".join(lines)


def last_words(findings: Sequence[Finding]) -> str:
    """One line that says whether all is well."""
    wrong, notes = (sum(f.state == state for f in findings) for state in ("wrong", "note"))
    noted = f"{notes} note{'s' * (notes != 1)}" if notes else "nothing to note"
    if not wrong:
        return f"Nothing is wrong; {noted}."
    return f"{wrong} thing{'s' * (wrong != 1)} wrong; {noted}."


def _wrap(text: str, width: int) -> list[str]:
    # A command is copied: it stays on one line where it can.
    joined = _COMMAND.sub(lambda match: match[0].replace(" ", "\0"), text)
    lines = textwrap.wrap(joined, width, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines] or [""]


def _ink(text: str, ink: str, color: bool) -> str:
    return f"\x1b[{ink}m{text}\x1b[0m" if color else text
