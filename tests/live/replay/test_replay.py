"""Sessions of Lumibot's live loop, backtested from the store: on the same bars, on others, and with parts missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from lumibot.strategies import Strategy

from cli.files import Command
from comparison.browser import CHROMIUM, browser
from live.crossing import Crossing
from live.live_loop import MINUTE, Market, MarketBroker, stepped
from lumibot_duckdb import deactivate
from lumibot_duckdb.duckdb_storage import DuckDBDataStorage
from lumibot_duckdb.live import Replay, replay_session
from lumibot_duckdb.live.replay.errors import ReplayError
from lumibot_duckdb.live.replay.page import replay_page
from lumibot_duckdb.live.replay.recorded_bars import recorded_bars
from lumibot_duckdb.live.replay.requests import DIFFERENT, EQUAL, LATE, MISSING, PRICE, UNFINISHED, outcomes
from lumibot_duckdb.live.session.recording import SessionRecording
from lumibot_duckdb.results import LiveSessionRecord, LiveSessions, SessionNotFoundError
from lumibot_duckdb.results.live_records import LIVE_TABLES, LiveBatch
from lumibot_duckdb.storage.api import TimeRange
from results.samples import equity

pytestmark = [pytest.mark.usefixtures("clean_directory"), pytest.mark.xdist_group("replays")]
START = datetime(2024, 6, 3, 10, 0, tzinfo=timezone.utc)
FIRST = START + 60 * MINUTE
STEPS = 40
SCRIPT = Path(__file__).parents[1] / "crossing.py"


class Folder:
    """Sessions on three markets, recorded into one results database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store, self.results = path / "bars.duckdb", path / "my-results.duckdb"
        self.market = Market(START, 200, has_unfinished=False)
        running = Market(START, 200)
        late = Market(START, 200, has_unfinished=False, delay=timedelta(seconds=30))
        recording = SessionRecording(self.results)
        assert recording.install()
        for market in (self.market, running, late):
            broker = MarketBroker(market, slippage=0.05)
            stepped(Crossing, market, FIRST, STEPS, broker=broker, risk_free_rate=0.0, benchmark_asset=None)
        recording.close()
        recording.uninstall()
        DuckDBDataStorage(self.store).store_ohlcv_data("AAA", self.bars, timeframe="minute", source="alpaca")

    @property
    def bars(self) -> pd.DataFrame:
        return self.market.frames["AAA"]

    def replay(self, session: str = "Crossing-live", strategy: Any = Crossing, **settings: Any) -> Replay:
        return replay_session(session, strategy, **{"results": self.results, "store": self.store, **settings})

    def other_store(self, bars: pd.DataFrame, **more: Any) -> Path:
        path = self.path / f"other-{len(list(self.path.glob('other-*.duckdb')))}.duckdb"
        DuckDBDataStorage(path).store_ohlcv_data("AAA", bars, **{"timeframe": "minute", "source": "alpaca", **more})
        return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sessions"))
        yield Folder(Path.cwd())


@pytest.fixture(scope="module")
def same(folder: Folder) -> Replay:
    return folder.replay()


def test_a_backtest_on_the_same_bars_sees_and_does_the_same(same: Replay, folder: Folder) -> None:
    assert outcomes(same.requests) == {EQUAL: 2 * STEPS}
    assert same.saw_the_same
    assert same.traded_the_same
    assert len(same.orders) > 4
    assert [pair.slippage for pair in same.orders] == pytest.approx([0.05] * len(same.orders))
    filled = sum(pair.live.filled for pair in same.orders if pair.live)
    values = same.equity.values
    assert values["backtest"].iloc[-1] - values["live"].iloc[-1] == pytest.approx(0.05 * filled)
    assert same.source == ("AAA stock, minute bars from alpaca",)
    assert (same.first, same.last) == (FIRST + timedelta(seconds=1), FIRST + 39 * MINUTE + timedelta(seconds=1))
    assert not (folder.path / "logs").exists()


class EachFiveMinutes(Strategy):
    """Trades a stock in the hours of an exchange, and also requests larger bars."""

    def initialize(self) -> None:
        self.sleeptime = "5M"

    def on_trading_iteration(self) -> None:
        self.get_historical_prices("AAA", 20, "minute")
        self.get_historical_prices("AAA", 4, "5 minutes")
        self.get_last_price("AAA")
        if self.get_position("AAA") is None:
            self.submit_order(self.create_order("AAA", 1, "buy"))


def test_a_session_within_the_hours_of_an_exchange(folder: Folder, tmp_path: Path) -> None:
    opened = datetime(2024, 6, 3, 14, 30, tzinfo=timezone.utc)
    market = Market(opened - 60 * MINUTE, 200)
    broker = MarketBroker(market)
    broker.market = "NASDAQ"
    broker.is_market_open = lambda: True
    recording = SessionRecording(tmp_path / "my-results.duckdb")
    recording.install()
    every = {"every": 5 * MINUTE, "risk_free_rate": 0.0, "benchmark_asset": None}
    stepped(EachFiveMinutes, market, opened, 12, broker=broker, **every)
    recording.uninstall()
    store = folder.other_store(market.frames["AAA"])
    found = folder.replay("EachFiveMinutes-live", EachFiveMinutes, results=recording.path, store=store)
    assert outcomes(found.requests) == {EQUAL: 12, UNFINISHED: 24}
    assert found.traded_the_same
    assert len(found.orders) == 1
    assert found.notes == ()


def test_what_else_differs_from_the_session_is_noted(folder: Folder, tmp_path: Path) -> None:
    sessions = LiveSessions(tmp_path / "other-results.duckdb")
    sessions.begin(
        LiveSessionRecord("id", "held", "Crossing", None, {"market": "24/7", "sleeptime": "5M"}, START, None)
    )
    values = [{"time": FIRST + minute * MINUTE, "value": 1_000.0, "cash": 250.0} for minute in range(3)]
    request = [{"request": 1, "time": FIRST, "method": "history", "asset": "AAA", "timestep": "minute", "length": 10}]
    rows = {"equity": values, "live_requests": request}
    tables = {name: pa.Table.from_pylist(each, LIVE_TABLES[name]) for name, each in rows.items()}
    sessions.append("id", [LiveBatch(1, tables, lost=5)])
    notes = folder.replay("held", results=sessions.path).notes
    assert "held positions worth 750.00" in notes[0]
    assert "5 rows of the session were lost" in notes[1]
    assert "still runs" in notes[2]
    assert notes[3].startswith("The sleeptime was 5M in the session, and is 1M in the backtest")


def test_unfinished_bars_are_expected(folder: Folder) -> None:
    found = folder.replay("Crossing-live-2")
    assert outcomes(found.requests) == {EQUAL: STEPS, UNFINISHED: STEPS}
    assert found.saw_the_same


def test_bars_that_came_late_are_reported(folder: Folder) -> None:
    found = folder.replay("Crossing-live-3")
    assert outcomes(found.requests) == {EQUAL: STEPS, LATE: STEPS}
    assert all(each.late == 1 for each in found.requests if each.outcome == LATE)
    assert not found.saw_the_same


def test_corrected_and_missing_bars_are_reported(folder: Folder) -> None:
    bars = folder.bars.copy()
    corrected = FIRST + 5 * MINUTE
    bars.loc[corrected, "close"] += 0.25
    missing = FIRST + 25 * MINUTE
    found = folder.replay(store=folder.other_store(bars.drop(missing)))
    histories = [each for each in found.requests if each.method == "history"]
    assert {each.outcome for each in histories[:6]} == {EQUAL}
    assert {each.outcome for each in histories[6:16]} == {DIFFERENT}
    first = histories[6].first_difference
    assert first is not None
    assert (first.bar, first.column) == (corrected, "close")
    assert first.backtest - first.live == pytest.approx(0.25)
    assert {each.outcome for each in histories[16:26]} == {EQUAL}
    # Lumibot fills the gap with the close before it, but the bar is not in the store.
    assert {each.outcome for each in histories[26:36]} == {MISSING}
    assert {each.missing for each in histories[26:36]} == {1}
    assert {each.outcome for each in found.requests if each.method == "last_price"} <= {EQUAL, PRICE}


def test_bars_that_were_not_recorded_to_the_end_are_missing(folder: Folder) -> None:
    bars = folder.bars[folder.bars.index < FIRST + 30 * MINUTE]
    found = folder.replay(store=folder.other_store(bars))
    histories = [each for each in found.requests if each.method == "history"]
    assert {each.outcome for each in histories[:30]} == {EQUAL}
    assert [each.missing for each in histories[31:]] == list(range(1, 10))
    assert {each.outcome for each in histories[31:]} == {MISSING}
    assert not found.saw_the_same
    assert found.notes[0].startswith("Bars are recorded 15 minutes after their end")


def test_a_store_may_be_read_as_it_was(folder: Folder) -> None:
    path = folder.other_store(folder.bars)
    storage = DuckDBDataStorage(path)
    storage.snapshot("before")
    storage.restate_series("AAA", "alpaca", "minute")
    wrong = folder.bars.copy()
    wrong["close"] += 1.0
    storage.store_ohlcv_data("AAA", wrong, timeframe="minute", source="alpaca")
    assert not folder.replay(store=path).saw_the_same
    assert folder.replay(store=path, as_of="before").saw_the_same


# -- which bars --------------------------------------------------------------------------------------------------


def requested(*assets: str, timestep: str = "minute") -> dict[str, Any]:
    rows = [{"request": number, "asset": asset, "timestep": timestep} for number, asset in enumerate(assets, 1)]
    empty = {name: schema.empty_table() for name, schema in LIVE_TABLES.items()}
    return {**empty, "live_requests": pa.Table.from_pylist(rows, LIVE_TABLES["live_requests"])}


def test_the_series_that_covers_most_of_the_session_is_read(folder: Folder) -> None:
    storage = DuckDBDataStorage(
        folder.other_store(folder.bars[folder.bars.index < FIRST + 10 * MINUTE], source="yahoo")
    )
    span = TimeRange(int(FIRST.timestamp()), int(FIRST.timestamp()) + 60 * STEPS)

    def sources(**choice: str) -> list[str]:
        return [key.source for key in recorded_bars(storage, requested("AAA"), span, **choice).series]

    for source in ("alpaca_live", "alpaca"):
        storage.store_ohlcv_data("AAA", folder.bars, timeframe="minute", source=source)
        assert sources() == [source]
    assert sources(source="yahoo") == ["yahoo"]


def test_series_are_found_by_the_names_of_assets(tmp_path: Path, folder: Folder) -> None:
    from lumibot_duckdb.storage.api import AssetKey

    storage = DuckDBDataStorage(tmp_path / "store.duckdb")
    option = AssetKey("SPY", "option", expiration=datetime(2024, 6, 21).date(), strike=500, right="CALL")
    for asset, timeframe in (
        (AssetKey("BTC", "crypto", quote="USDT"), "minute"),
        (AssetKey("BTC", "crypto", quote="USD"), "minute"),
        (option, "minute"),
        (AssetKey("AAA"), "minute"),
        (AssetKey("AAA"), "day"),
    ):
        storage.store_ohlcv_data(asset, folder.bars.head(3), timeframe=timeframe, source="x")
    span = TimeRange(0, 10)
    found = recorded_bars(storage, requested("BTC/USDT", "SPY 2024-06-21 500 CALL", "AAA/USD", "ZZZ"), span)
    assert [key.asset.label() for key in found.series] == ["BTC/USDT crypto", option.label(), "AAA stock"]
    assert (found.timeframe, found.missing) == ("minute", ("ZZZ",))
    assert recorded_bars(storage, requested("AAA", timestep="day"), span).timeframe == "day"
    with pytest.raises(
        ReplayError,
        match=r"the store has no bars of the source y of what this session requested \(AAA\) while it ran: record",
    ):
        recorded_bars(storage, requested("AAA"), span, source="y")
    with pytest.raises(ReplayError, match=r"the store has no bars of the source x with the adjustment 'all' of what"):
        recorded_bars(storage, requested("AAA"), span, source="x", adjustment="all")


# -- what cannot be replayed -------------------------------------------------------------------------------------


def test_what_cannot_be_replayed_is_refused(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(SessionNotFoundError, match="there is no session nothing of live trading"):
        folder.replay("nothing")
    sessions = LiveSessions(tmp_path / "other-results.duckdb")
    record = LiveSessionRecord("id", "empty", "Crossing", None, {}, START, None)
    sessions.begin(record)
    with pytest.raises(ReplayError, match="empty has recorded no request and no value"):
        folder.replay("empty", results=sessions.path)
    sessions.begin(replace(record, session_id="id-2", name="values"))
    sessions.append("id-2", [LiveBatch(1, {"equity": equity(1.0, 2)})])
    with pytest.raises(ReplayError, match=r"no bars of what this session requested \(nothing\)"):
        folder.replay("values", results=sessions.path)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "from lumibot.strategies import Strategy\nclass Other(Strategy): ...",
            r"has no strategy Crossing.*it has Other",
        ),
        ("1 / 0", "fails before its strategy Crossing is defined: ZeroDivisionError"),
        ("import sys; sys.exit(3)", "fails before its strategy Crossing is defined: SystemExit: 3"),
    ],
)
def test_a_script_without_the_strategy_is_refused(folder: Folder, tmp_path: Path, text: str, error: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)
    with pytest.raises(ReplayError, match=error):
        folder.replay(strategy=script)
    with pytest.raises(ReplayError, match=r"cannot read the script .*none.py: No such file"):
        folder.replay(strategy=tmp_path / "none.py")


UNGUARDED = """
import sys
from beside import LENGTH
from live.crossing import Crossing as Base
from live.live_loop import Market, MarketBroker
from datetime import datetime, timezone
from lumibot.traders import Trader

class Crossing(Base):
    pass

market = Market(datetime(2024, 6, 3, tzinfo=timezone.utc), 2)
if sys.argv[1] == "live":
    trader = Trader()
    trader.add_strategy(Crossing(broker=MarketBroker(market)))
    trader.run_all()
else:
    Crossing.backtest(None, None, None)
raise SystemExit("the script went on")
"""


@pytest.mark.parametrize("argument", ["live", "backtest"])
def test_a_script_that_runs_at_once_is_stopped_there(folder: Folder, tmp_path: Path, argument: str) -> None:
    (tmp_path / "beside.py").write_text("LENGTH = 10\n")
    (tmp_path / "script.py").write_text(UNGUARDED)
    assert folder.replay(strategy=tmp_path / "script.py", arguments=[argument]).saw_the_same


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(folder: Folder, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Any]]:
    command = Command(folder.path, capsys)

    def run(*arguments: object) -> Any:
        return command("live", "replay", "--store", folder.store, "--results", folder.results, *arguments)

    yield run
    deactivate()


def test_the_command_prints_tables(run: Callable[..., Any], folder: Folder, tmp_path: Path, same: Replay) -> None:
    page = tmp_path / "replay.html"
    ended = run("Crossing-live", SCRIPT, "--html", page)
    assert ended.code == 0, ended
    assert "The backtest saw what the live strategy saw: 80 requests returned the same closed bars." in ended.out
    assert f"{len(same.orders)} orders on both sides, with the same results." in ended.out
    assert ended.out.count("+0.05") == len(same.orders)
    assert ended.out.endswith(f"The page is in {page}.\n")
    assert "key-of-a-broker-123" not in ended.out + page.read_text()


def test_the_command_names_what_differs(run: Callable[..., Any], folder: Folder) -> None:
    ended = run("Crossing-live-3", SCRIPT)
    assert ended.code == 1
    assert "40 of 80 requests did not return the same closed bars in the backtest." in ended.out
    assert ended.out.count("late in live trading (1 newer)") == 20
    assert "... and 20 more (--html and --json have them)" in ended.out
    store = folder.other_store(folder.bars[folder.bars.index < FIRST + 5 * MINUTE])
    ended = run("Crossing-live", SCRIPT, "--store", store)
    assert ended.code == 1
    assert "bars missing (1 missing)" in ended.out
    assert " only live" in ended.out
    store = folder.other_store(folder.bars[folder.bars.index < FIRST])
    ended = run("Crossing-live", SCRIPT, "--store", store)
    assert (ended.code, ended.out) == (1, "")
    assert "no bars of what this session requested (AAA) while it ran" in ended.err


def test_the_script_gets_its_arguments(run: Callable[..., Any], folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("LENGTH = 10\n")
    (tmp_path / "script.py").write_text(UNGUARDED)
    assert run("Crossing-live", tmp_path / "script.py", "--", "live").code == 0


def test_the_command_prints_json(run: Callable[..., Any], folder: Folder) -> None:
    ended = run("Crossing-live-3", SCRIPT, "--json")
    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["outcomes"] == {EQUAL: STEPS, LATE: STEPS}
    assert len(found["requests"]) == 2 * STEPS
    assert found["requests"][0]["live_time"] == "2024-06-03T11:00:01+00:00"
    assert found["saw_the_same"] is False


def test_the_command_refuses_what_cannot_be_replayed(run: Callable[..., Any], folder: Folder, tmp_path: Path) -> None:
    for arguments, code, expected in (
        (("nothing", SCRIPT), 1, "there is no session nothing"),
        (("Crossing-live", tmp_path / "none.py"), 2, "there is no script"),
        (("Crossing-live", SCRIPT, "--html", tmp_path / "no" / "x.html"), 2, "name a file in an existing folder"),
        (("Crossing-live", SCRIPT, "--source", "y"), 1, "the store has no bars of the source y"),
    ):
        ended = run(*arguments)
        assert (ended.code, ended.out) == (code, "")
        assert expected in ended.err


# -- the page ------------------------------------------------------------------------------------------------------


def test_texts_on_the_page_are_escaped(same: Replay) -> None:
    hostile = "<script>alert(1)</script>"
    record = replace(same.session.record, name=hostile, strategy=hostile)
    requests = tuple(replace(each, asset=hostile, outcome=DIFFERENT) for each in same.requests)
    orders = tuple(
        replace(pair, live=None if pair.live is None else replace(pair.live, asset=hostile)) for pair in same.orders
    )
    changed = replace(
        same,
        session=replace(same.session, record=record),
        requests=requests,
        orders=orders,
        notes=(hostile,),
        source=(hostile,),
    )
    page = replay_page(changed)
    assert hostile not in page
    assert page.count("&lt;script&gt;alert(1)") > len(orders)
    assert "60 more" in page  # of 80 requests, 20 are unfolded


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_draws_without_errors(same: Replay, tmp_path: Path) -> None:
    file = tmp_path / "replay.html"
    file.write_text(replay_page(same))
    with browser(tmp_path) as page:
        for width, is_dark in ((1440, False), (390, True)):
            page.open(file, width, 900, dark=is_dark)
            assert page.errors == []
            assert page.requests == [file.as_uri()]
            assert page.value("document.documentElement.scrollWidth") == width
            assert page.value("document.querySelectorAll('.plot .scatterlayer .trace').length") == 2
            page.requests.clear()
