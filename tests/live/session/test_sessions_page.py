"""docs/live-sessions.md: its examples print what it shows, its code compiles, and it has every outcome."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from lumibot_duckdb.live.replay.requests import EXPECTED, EXPLANATIONS
from pages_of_examples import examples_of

PAGE = Path(__file__).parents[3] / "docs" / "live-sessions.md"


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(examples_of(PAGE), {}, PAGE.name, str(PAGE), 0)
    differences: list[str] = []
    result = doctest.DocTestRunner().run(examples, out=differences.append)
    assert result.failed == 0, "".join(differences)
    assert result.attempted > 10


def test_the_code_uses_names_that_exist() -> None:
    for module, name in re.findall(r"^from (lumibot_duckdb\S*) import (\w+)$", PAGE.read_text(), re.MULTILINE):
        assert hasattr(__import__(module, fromlist=[name]), name)


def test_every_outcome_is_on_the_page() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    shown = [name for name, _ in rows if name != "outcome"]
    assert sorted(shown) == sorted(EXPLANATIONS)
    assert set(shown[:3]) == set(EXPECTED)
    for name, meaning in rows[1:]:
        assert EXPLANATIONS[name][1:].split(";")[0] in meaning
