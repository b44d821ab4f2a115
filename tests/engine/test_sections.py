"""Reading a section at a time gives what reading it whole gives."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from engine.config import make_config, to_toml
from engine.runs import sections

TEXTS = {
    "a config": to_toml(make_config(dataset_size=10_000, data={"dataset": "fashion-mnist-10k"})),
    "nothing": "",
    "no section": 'preset = "default"\nseed = 0\n',
    "an array over lines": "[a]\nb = [\n[1, 2],\n[3, 4],\n]\n[c]\nd = 1\n",
    "a text over lines": '[a]\nb = """\n[c]\n"""\n',
    "a comment before a section": "# first\n[a]\nb = 1 # [c]\n# last\n",
    "a table in a table": "[a]\nb = 1\n[a.c]\nd = 2\n",
    "an array of tables": "[[a]]\nb = 1\n[[a]]\nb = 2\n",
    "windows": '[a]\r\nb = "c"\r\n[d]\r\ne = 1\r\n',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_values_are_those_of_the_whole(text: str) -> None:
    assert sections.loads(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text", ["[a]\nb = 1\n[a]\nc = 2\n", "a = 1\n[a]\n", "[a]\nb = \n", "[a\n", "a = 1\na = 2\n"]
)
def test_what_is_wrong_for_the_whole_is_wrong(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as whole:
        tomllib.loads(text)
    with pytest.raises(tomllib.TOMLDecodeError) as by_section:
        sections.loads(text)
    assert str(by_section.value) == str(whole.value)


def test_a_section_that_many_have_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    loads = tomllib.loads

    def counted(text: str) -> dict[str, Any]:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    for number in range(100):
        values = sections.loads(f"[many]\nhave = 'this'\n[own]\nnumber = {number}\n")
        assert values["own"] == {"number": number}
    assert len(parsed) < 110
