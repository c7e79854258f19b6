"""Runs the Python examples of a page of the documentation, in their order."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def examples_of(page: Path) -> str:
    """Return the Python blocks of a page, one after another."""
    return "\n".join(_BLOCK.findall(page.read_text()))


def check_examples(page: Path, flags: int = 0, *, more_than: int = 20) -> None:
    """Fail unless the page has more examples than that, which print what it shows. `flags` are those of doctest."""
    examples = doctest.DocTestParser().get_doctest(examples_of(page), {}, page.name, str(page), 0)
    differences: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | flags)
    result = runner.run(examples, out=differences.append)
    assert result.failed == 0, "".join(differences)
    assert result.attempted > more_than
