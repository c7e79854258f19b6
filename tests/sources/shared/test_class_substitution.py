"""Our classes pass for Lumibot's where it asks for a source's type."""

from __future__ import annotations

from lumibot.backtesting import PolygonDataBacktesting as LumibotPolygonDataBacktesting
from lumibot.data_sources import PandasData

from lumibot_duckdb.backtesting import PolygonDataBacktesting


def test_the_class_equals_lumibots_of_its_name_and_no_other() -> None:
    for ours in (PolygonDataBacktesting, PolygonDataBacktesting.using("somewhere.duckdb")):
        assert ours == LumibotPolygonDataBacktesting
        assert ours == ours
        assert ours != PandasData
        assert issubclass(ours, LumibotPolygonDataBacktesting)
        assert not issubclass(LumibotPolygonDataBacktesting, ours)
        assert ours.__name__ == "PolygonDataBacktesting"


def test_the_classes_are_still_two() -> None:
    assert PolygonDataBacktesting is not LumibotPolygonDataBacktesting
    assert len({PolygonDataBacktesting: 1, LumibotPolygonDataBacktesting: 2}) == 2
