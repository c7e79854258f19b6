"""The examples of the part "Is it luck?" of the page about sweeps print what it shows."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sweeps.md"


def test_the_examples_work() -> None:
    part = PAGE.read_text(encoding="utf-8").partition("\n## Is it luck?\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    differences: list[str] = []
    result = doctest.DocTestRunner().run(examples, out=differences.append)
    assert result.failed == 0, "".join(differences)
    assert result.attempted > 10
