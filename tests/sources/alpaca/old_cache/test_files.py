"""Single files of Lumibot's Alpaca caches: which rows are bars, which files fit together, which are left alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lumibot.backtesting import AlpacaBacktesting as LumibotAlpacaBacktesting
from lumibot.entities import Asset

from hypothesis_settings import examples
from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.sources.alpaca.actions import AdjustedHistory
from lumibot_duckdb.sources.alpaca.client import StockAction
from lumibot_duckdb.sources.alpaca.old_cache.bars import AlpacaBars, day_basis
from lumibot_duckdb.sources.alpaca.old_cache.files import real_rows
from lumibot_duckdb.sources.alpaca.old_cache.names import parsed
from lumibot_duckdb.sources.alpaca.old_cache.reader import AlpacaChainReader, AlpacaReader
from lumibot_duckdb.sources.alpaca.old_cache.shared_bars import SharedBarReader
from lumibot_duckdb.sources.alpaca.old_cache.shared_series import SharedSeries
from lumibot_duckdb.sources.alpaca.symbols import alpaca_symbol
from lumibot_duckdb.sources.shared.old_cache.errors import (
    ConflictError,
    LeftAloneError,
    MigrationError,
    UnreadableFileError,
)
from lumibot_duckdb.storage.api import AssetKey, CorporateAction, SeriesKey, TimeRange
from migration.moving import moved

STOCK = "AAPL-STOCK_USD-FOREX_NASDAQ"
NEW_YORK = "AMERICA-NEW-YORK"
DAYS = f"{STOCK}_DAY_{NEW_YORK}_AA_2024-03-04_2024-03-08"
HEADER = "timestamp,open,high,low,close,volume\n"
ROWS = "".join(f"2024-03-0{day} 00:00:00-05:00,{day}.5,9.0,1.0,{day}.25,{day}00.0\n" for day in range(4, 9))


def written(folder: Path, name: str, text: str, day: str = "2024-04-01 12:00") -> Path:
    path = folder / "alpaca" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    moment = pd.Timestamp(day, tz="America/New_York").timestamp()
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def storage(tmp_path: Path) -> DuckDBDataStorage:
    return DuckDBDataStorage(tmp_path / "bars.duckdb")


# -- what is a bar --------------------------------------------------------------------------------------------


class Filling(LumibotAlpacaBacktesting):  # type: ignore[misc]
    """Lumibot's own filling, without a source."""

    def __init__(self) -> None:
        pass


@examples(20)
@given(st.data())
@pytest.mark.parametrize("timestep", ["minute", "day"])
def test_bars_are_distinguished_from_what_lumibot_makes_of_them(timestep: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 40))
    start = pd.Timestamp("2024-03-04 09:30" if timestep == "minute" else "2024-03-04", tz="America/New_York")
    step = pd.Timedelta(minutes=1) if timestep == "minute" else pd.Timedelta(days=1)
    calendar = pd.DatetimeIndex([start + n * step for n in range(count)])
    there = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    there[data.draw(st.integers(0, count - 1))] = True
    # Few prices, so that many bars stand still.
    prices = np.array(data.draw(st.lists(st.sampled_from([1.0, 1.5, 2.0]), min_size=4 * count, max_size=4 * count)))
    bars = pd.DataFrame(prices.reshape(-1, 4), columns=["open", "high", "low", "close"])
    bars = bars.assign(timestamp=calendar, volume=float(data.draw(st.integers(1, 9))))[there]
    filled = Filling()._reindex_and_fill(bars, calendar, timestep).set_index("timestamp")
    filled = filled[["open", "high", "low", "close", "volume"]].astype(float)
    assert real_rows(filled).tolist() == there.tolist()


def test_what_cannot_be_distinguished_from_filling_comes_back_the_same() -> None:
    """Crypto has bars without volume, some of them at the last close."""
    calendar = pd.date_range("2024-03-04", periods=6, freq="min", tz="UTC")
    prices = [[5.0, 6.0, 4.0, 5.5], [5.5] * 4, [5.5] * 4, [5.4, 5.6, 5.3, 5.6], [5.6] * 4, [5.7] * 4]
    frame = pd.DataFrame(prices, columns=["open", "high", "low", "close"], index=calendar).assign(volume=0.0)
    frame.index.name = "timestamp"
    real = real_rows(frame)
    assert real.tolist() == [True, False, False, True, False, True]
    again = Filling()._reindex_and_fill(frame[real].reset_index(), calendar, "minute").set_index("timestamp")
    pd.testing.assert_frame_equal(again[frame.columns], frame, check_exact=True, check_freq=False)


def test_a_table_without_a_bar_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, f"{DAYS}.csv", HEADER + "2024-03-04 00:00:00-05:00,5.0,5.0,5.0,5.0,0.0\n")
    with pytest.raises(LeftAloneError, match="no bar that can be distinguished"):
        AlpacaReader(tmp_path).read(path)


# -- what a name says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asset", "quote", "timestep", "market", "zone", "adjusted"),
    [
        (Asset("AAPL"), Asset("USD", "forex"), "minute", "NASDAQ", "America/New_York", True),
        (Asset("BRK.B"), Asset("USD", "forex"), "day", "NYSE", "America/Chicago", False),
        (Asset("BTC", "crypto"), Asset("USD", "forex"), "5minute", "24/7", "UTC", True),
        (Asset("ETH", "crypto"), Asset("USDT", "crypto"), "2hour", "24/7", "Asia/Ho_Chi_Minh", True),
        (
            Asset("SPY", "option", expiration=dt.date(2024, 3, 15), strike=502.5, right="PUT"),
            Asset("USD", "forex"),
            "minute",
            "NYSE",
            "America/New_York",
            True,
        ),
    ],
)
def test_a_name_says_what_lumibot_put_into_it(
    asset: Asset, quote: Asset, timestep: str, market: str, zone: str, adjusted: bool
) -> None:
    start, end = pd.Timestamp("2024-03-04", tz=zone), pd.Timestamp("2024-03-08 23:59:59", tz=zone)
    name = Filling()._get_asset_key(
        base_asset=asset, quote_asset=quote, timestep=timestep, market=market, tzinfo=zone, auto_adjust=adjusted,
        data_datetime_start=start, data_datetime_end=end,
    )  # fmt: skip
    found = parsed(name)
    kind = str(asset.asset_type)
    assert (found.key.asset.symbol, found.key.asset.asset_type) == (asset.symbol, kind)
    assert found.key.asset.quote == (quote.symbol if kind == "crypto" else None)
    assert found.key.timeframe == timestep
    assert found.key.adjustment == ("" if kind != "stock" else "all" if adjusted else "split")
    assert found.market is not None
    assert found.market.upper() == market
    assert (found.window.start, found.window.end) == (int(start.timestamp()), int(end.timestamp()) + 1)
    assert not found.history
    assert parsed(f"{name}_HISTORY").history
    if kind == "option":
        assert alpaca_symbol(found.key.asset) == Filling._occ_symbol(asset)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("notes", "name is not one that Lumibot gives"),
        (f"{STOCK}_DAY_MIDDLE-EARTH_2024-03-04_2024-03-08", "time zone"),
        (f"SPY-OPTION_USD-FOREX_NYSE_DAY_{NEW_YORK}_AA_2024-03-04_2024-03-08", "older release"),
    ],
)
def test_an_unclear_name_is_a_reason(name: str, reason: str) -> None:
    with pytest.raises(LeftAloneError, match=reason):
        parsed(name)


# -- what is wrong with a file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        HEADER[:-1],
        HEADER + ROWS[:-5],
        HEADER + ROWS + "2024-03-04 00:00:00-05:00,1,1,1,1,1\n",
        HEADER + ROWS.replace("2024-03-0", "2024-02-0"),
        HEADER + ROWS.replace("9.0", ""),
        HEADER + ROWS.replace("9.0", "high"),
        HEADER + ROWS.replace("9.0", "inf"),
        HEADER + ROWS.replace("2024-03-05", "some day"),
        HEADER + ROWS.replace("00:00:00-", "00:00:00.5-"),
        "a,b\n1,2\n",
        "\x00\x01\x02\n",
    ],
)
def test_a_damaged_table_has_a_reason(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"{DAYS}.csv", text)
    with pytest.raises(UnreadableFileError):
        AlpacaReader(tmp_path).read(path)


def test_days_that_a_table_lacks_at_its_end_are_not_covered(tmp_path: Path, storage: DuckDBDataStorage) -> None:
    written(tmp_path, f"{DAYS}.csv", HEADER + "".join(ROWS.splitlines(keepends=True)[:3]))
    assert moved(AlpacaReader(tmp_path), storage) == {}
    (series,) = storage.list_series()
    covered = [
        pd.Timestamp(bound, unit="s", tz="America/New_York") for bound in dataclasses.astuple(series.coverage[0])
    ]
    assert [str(bound) for bound in covered] == ["2024-03-04 00:00:00-05:00", "2024-03-07 00:00:00-05:00"]


def test_a_bar_that_was_open_is_left_out(tmp_path: Path, storage: DuckDBDataStorage) -> None:
    written(tmp_path, f"{DAYS}.csv", HEADER + ROWS, "2024-03-08 14:00")
    assert moved(AlpacaReader(tmp_path), storage) == {}
    (series,) = storage.list_series()
    assert series.rows == 4
    assert pd.Timestamp(series.coverage[0].end, unit="s", tz="America/New_York").day <= 8


# -- what goes together ---------------------------------------------------------------------------------------


def days(first: str, scale: float = 1.0, given_at: str = "2024-04-01", basis: str | None = None) -> AlpacaBars:
    index = pd.date_range(first, periods=4, tz="America/New_York").tz_convert("UTC").rename("datetime")
    prices = np.arange(4.0)[:, None] + [10.0, 12.0, 9.0, 11.0] + index.day.to_numpy()[:, None]
    frame = pd.DataFrame(prices * scale, columns=["open", "high", "low", "close"], index=index).assign(volume=7.0)
    moment = pd.Timestamp(given_at, tz="America/New_York").to_pydatetime()
    covered = TimeRange(int(index[0].timestamp()), int(index[-1].timestamp()) + 86_400)
    key = SeriesKey(AssetKey("AAPL"), "alpaca", "day", "all")
    return AlpacaBars(key, frame, [covered], moment, basis=basis or day_basis(moment))


def test_bars_that_agree_go_together_whenever_they_were_given(storage: DuckDBDataStorage) -> None:
    first = days("2024-03-04")
    assert first.store(storage, {}) == 4
    later = days("2024-03-04", given_at="2024-06-01")
    longer = dataclasses.replace(
        later,
        bars=pd.concat([later.bars, later.bars.set_axis(later.bars.index + pd.Timedelta(days=7))]),
        covered=[TimeRange(later.covered[0].start, later.covered[0].end + 7 * 86_400)],
    )
    assert longer.store(storage, {}) == 4
    assert longer.difference(storage) is None
    assert longer.store(storage, {}) == 0


def test_prices_that_are_adjusted_otherwise_are_kept_out(storage: DuckDBDataStorage) -> None:
    days("2024-03-04").store(storage, {})
    with pytest.raises(ConflictError, match="different bars of AAPL"):
        days("2024-03-04", scale=0.25, given_at="2024-02-01").store(storage, {})
    with pytest.raises(ConflictError, match=r"another time \(2024-02-01\) .* \(2024-04-01\)"):
        days("2024-02-05", given_at="2024-02-01").store(storage, {})
    assert days("2024-02-05").store(storage, {}) == 4  # given on the same day
    assert (
        days("2024-01-08", given_at="2024-02-01", basis=day_basis(days("2024-03-04").asked_at)).store(storage, {}) == 4
    )


def test_last_bits_make_no_difference(storage: DuckDBDataStorage) -> None:
    days("2024-03-04").store(storage, {})
    almost = days("2024-03-04", scale=1 + 3e-16)
    assert almost.difference(storage) is None
    assert almost.store(storage, {}) == 0


def test_bars_from_before_a_known_dividend_are_kept_out(storage: DuckDBDataStorage) -> None:
    storage.record_corporate_actions("AAPL", [CorporateAction(dt.date(2024, 5, 10), amount=0.25)], "alpaca", "dividend")
    with pytest.raises(ConflictError, match="dividend on 2024-05-10, after these bars"):
        days("2024-03-04").store(storage, {})


def test_what_has_changed_since_the_old_bars_were_given_restates_them(storage: DuckDBDataStorage) -> None:
    """The first check after a migration counts from when Alpaca had given the bars, not from when they were stored."""
    days("2024-03-04").store(storage, {})
    provider = mock.Mock()
    provider.split_actions.return_value = []
    provider.dividend_actions.return_value = [StockAction(dt.date(2024, 2, 9), amount=0.24)]
    AdjustedHistory(lambda: storage, lambda: provider).check("AAPL", "all", read_before=False)
    assert storage.list_series()[0].rows == 4  # they know of that one
    other = DuckDBDataStorage(storage.path.with_name("other.duckdb"))
    days("2024-03-04").store(other, {})
    provider.dividend_actions.return_value.append(StockAction(dt.date(2024, 5, 10), amount=0.25))
    AdjustedHistory(lambda: other, lambda: provider).check("AAPL", "all", read_before=False)
    assert other.list_series()[0].rows == 0


# -- option chains --------------------------------------------------------------------------------------------


def _chain(folder: Path, text: str, name: str) -> Path:
    path = folder / "alpaca" / "option_chains" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_another_chain_of_the_same_days_is_kept_out(tmp_path: Path, storage: DuckDBDataStorage) -> None:
    sides = {"CALL": {"2024-03-15": [500.0, 505]}, "PUT": {}}
    path = _chain(tmp_path, json.dumps({"Multiplier": 100, "Chains": sides}), "SPY_2024-03-04_2024-03-04_2024-06-02")
    (content,) = AlpacaChainReader(tmp_path).read(path)
    assert content.difference(storage) == "the store has no option chain of SPY as of 2024-03-04 for 90 days"
    assert content.store(storage, {}) == 2
    assert content.store(storage, {}) == 0
    assert content.difference(storage) is None
    sides["CALL"]["2024-03-15"].append(510.0)
    path.write_text(json.dumps({"Chains": sides}))
    (content,) = AlpacaChainReader(tmp_path).read(path)
    with pytest.raises(ConflictError):
        content.store(storage, {})


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 50_000, '{"Chains": []}', '{"Chains": {"CALL": {"2030-01-01": [1]}, "PUT": {}}}',
     '{"Chains": {"CALL": {"2024-03-15": ["1"]}, "PUT": {}}}', '{"Chains": {"CALL": {"2024-03-15": 1}, "PUT": {}}}'],
)  # fmt: skip
def test_a_damaged_chain_has_a_reason(text: str, tmp_path: Path) -> None:
    path = _chain(tmp_path, text, "SPY_2024-03-04_2024-03-04_2024-06-02")
    with pytest.raises(UnreadableFileError):
        AlpacaChainReader(tmp_path).read(path)


# -- shared bars ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("v2/alpaca/ab/abcd/2024-03.parquet", "set ALPACA_API_KEY"),
        ("v2/schwab/ab/abcd/2024-03.parquet", "bars of schwab"),
        ("v1/alpaca/ab/abcd/2024-03.parquet", r"it has a format \(v1\)"),
    ],
)
def test_shared_bars_that_cannot_be_identified_are_left_alone(
    place: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALPACA_API_KEY", raising=False)
    path = tmp_path / "bars" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    reader = SharedBarReader(tmp_path)
    assert list(reader.files()) == [path]
    with pytest.raises(LeftAloneError, match=reason):
        reader.read(path)


@pytest.mark.parametrize("way", ["empty", "cut", "other", "no notes"])
def test_damaged_shared_bars_have_a_reason(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_API_KEY", "PKSOMETHING")
    reader = SharedBarReader(tmp_path, [AssetKey("AAPL")])
    digest = "ab" * 32
    path = tmp_path / "bars" / "v2" / "alpaca" / "ab" / digest / "2024.parquet"
    path.parent.mkdir(parents=True)
    bars = days("2024-03-04").bars
    bars.attrs = (
        {}
        if way == "no notes"
        else {"sharedBars": {"series": "other", "coverage": [], "start": "2024-01-01", "endExclusive": "2025-01-01"}}
    )
    bars.to_parquet(path)
    content = path.read_bytes()
    path.write_bytes(b"" if way == "empty" else content[:-50] if way == "cut" else content)
    with (
        mock.patch.object(SharedSeries, "by_digest", {digest: days("2024-03-04").key}),
        pytest.raises(UnreadableFileError),
    ):
        reader.read(path)


def test_no_key_is_shown_or_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_API_KEY", "PKSECRETSECRET")
    path = tmp_path / "bars" / "v2" / "alpaca" / "ab" / "abcd" / "2024-03.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    reader = SharedBarReader(tmp_path)
    with pytest.raises(MigrationError) as error:
        reader.read(path)
    assert "PKSECRETSECRET" not in f"{error.value} {vars(reader)} {vars(reader._shared_series)}"
    assert "symbol" in str(error.value)
