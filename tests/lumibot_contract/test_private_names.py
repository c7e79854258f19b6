"""No code outside of `lumibot_contract` uses private names of Lumibot or pandas."""

from __future__ import annotations

from pathlib import Path

import pytest

import lumibot_duckdb
from tests.lumibot_contract.private_names import uses

# Names of other libraries that Lumibot or pandas happen to have as well.
_OF_OTHERS = {
    ("comparison/http_counter.py", "_request"),  # urllib3
    ("comparison/worker.py", "_shutdown"),  # threading
    ("sources/alpaca/http.py", "_session"),  # alpaca-py
    ("sources/yahoo/http.py", "_data"),  # yfinance
    ("sources/yahoo/stored_provider.py", "_make_request"),  # yfinance
    ("sweeps/trials/server.py", "_shutdown"),  # threading
}


def test_private_names_are_used_in_the_contract_only() -> None:
    package = Path(lumibot_duckdb.__file__).parent
    assert not [str(use) for use in uses(package) if (use.file, use.name) not in _OF_OTHERS]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from lumibot.strategies._strategy import _Strategy", ["lumibot.strategies._strategy._Strategy"]),
        ("import pandas.core.frame", ["pandas.core.frame"]),
        ("from lumibot.entities import Asset\nfrom pandas import DataFrame", []),
        ("def f(strategy):\n    return strategy._benchmark_asset", ["_benchmark_asset"]),
        ("setattr(base, '_dump_stats', None)", ["_dump_stats"]),
        ("class Mine:\n    def __init__(self):\n        self._data_store = {}\n        self._data_store.clear()", []),
        (
            "from lumibot.data_sources import YahooData as Theirs\n"
            "class YahooData(Theirs):\n    def _append_data(self): ...\n    def get(self): return self._mine\n",
            ["_append_data"],
        ),
        (
            "from lumibot.data_sources import PandasData\nclass Mixin:\n    def get(self): return self._data_store\n"
            "class Source(Mixin, PandasData): ...\n",
            ["_data_store"],
        ),
        ("f(_extend_history=True)", ["_extend_history"]),
    ],
)
def test_what_the_finder_finds(tmp_path: Path, code: str, expected: list[str]) -> None:
    (tmp_path / "module.py").write_text(code)
    assert [use.name for use in uses(tmp_path)] == expected
