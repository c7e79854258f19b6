"""The examples in docs/panels.md run in the order of the page and print what it shows."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.xdist_group("scikit-learn"), pytest.mark.usefixtures("one_thread")]  # it is imported once

PAGE = Path(__file__).parents[2] / "docs" / "panels.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_examples_print_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("talib")
    monkeypatch.chdir(tmp_path)
    source = "\n".join(BLOCK.findall(PAGE.read_text()))
    examples = doctest.DocTestParser().get_doctest(source, {}, PAGE.name, str(PAGE), 0)
    differences: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    result = runner.run(examples, out=differences.append)
    assert result.failed == 0, "".join(differences)
    assert result.attempted > 20
