"""`lumibot-duckdb compare` on every example strategy that ships with Lumibot and can run, on all four sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comparison.ground import compare, on_ground
from parity.example_runs import GROUNDS
from sources.alpaca.sides import IN_THE_ENVIRONMENT
from sources.polygon.sides import PATIENCE

SCRIPT = Path(__file__).with_name("example.py")


def environment_for(word: str, server: Any) -> dict[str, str]:
    """Return how to point a source's clients at a server, and what else its sides need."""
    needed = {
        "polygon": lambda: PATIENCE,
        "yahoo": lambda: {"TEST_NOW": str(server.moment().timestamp())},
        "alpaca": lambda: IN_THE_ENVIRONMENT,
        "ccxt": lambda: {},
    }
    return {f"TEST_{word.upper()}": server.url, **needed[word]()}


@pytest.fixture(scope="module", params=list(GROUNDS))
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    ground = GROUNDS[request.param]
    with ground.served() as server:
        yield request.param, environment_for(ground.word, server)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted({name for ground in GROUNDS.values() for name in ground.runs}))
def test_an_example_gives_the_same(name: str, served: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    ground, settings = served
    example = GROUNDS[ground].runs.get(name)
    if example is None:
        pytest.skip(f"does not run on {ground}, see parity/example_runs.py")
    with on_ground(tmp_path, settings):
        answer = compare(SCRIPT, ground, name)
    assert answer.code == 0, answer.out + answer.err
    said = re.search(r"^identical: ([\d,]+) fills? with", answer.out, re.MULTILINE)
    assert said is not None, answer.out
    assert int(said[1].replace(",", "")) >= example.fills
