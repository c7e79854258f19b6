"""Under which assets Lumibot keeps the `Data` objects of a backtest."""

from __future__ import annotations

from collections.abc import Sequence

from lumibot.entities import Asset, Data


def by_asset_and_quote(data: Sequence[Data]) -> dict[tuple[Asset, Asset], Data]:
    """Return data by the assets and quote assets under which Lumibot keeps it. It warns of data without a quote."""
    from lumibot.data_sources import PandasData  # late: the classes that need no store import this module, too

    keyed: dict[tuple[Asset, Asset], Data] = PandasData._set_pandas_data_keys(list(data))
    return keyed
