"""`--from-cache` runs scripts that construct a live broker, which their backtests do not use, and connects nowhere."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from comparison.ground import on_ground
from comparison.test_stored_provider import store as a_store
from lumibot_duckdb.comparison.outcome import LUMIBOT
from lumibot_duckdb.comparison.runner import RunError, Script, run_side

store = a_store

STRATEGY = """\
import os
from datetime import datetime

from lumibot.backtesting import YahooDataBacktesting
from lumibot.strategies import Strategy

SETTINGS = dict(benchmark_asset=None, risk_free_rate=0.0, analyze_backtest=False, show_progress_bar=False)


class Holding(Strategy):
    def on_trading_iteration(self):
        self.get_last_price("AAA")
        if self.first_iteration:
            self.submit_order(self.create_order("AAA", 10, "buy"))


def backtest(broker):
    strategy = Holding(broker=broker)
    strategy.backtest(YahooDataBacktesting, datetime(2024, 3, 4), datetime(2024, 3, 8), **SETTINGS)


"""
ALPACA = """\
from queue import Queue

from lumibot.brokers import Alpaca
from lumibot.strategies import strategy_executor

alpaca = Alpaca({"API_KEY": os.environ["ALPACA_API_KEY"], "API_SECRET": "secret", "PAPER": True})
backtest(alpaca)
assert strategy_executor.Queue is Queue, "Lumibot's side has not Lumibot's event loop"
account = alpaca.api.get_account()
assert (float(account.cash), float(account.portfolio_value)) == (0.0, 0.0)
assert Holding(broker=alpaca).get_positions() == []
assert alpaca.api.get_all_positions() == alpaca.api.get_orders() == []
"""
OTHERS = """\
from lumibot.brokers import Bitunix, Ccxt, ProjectX, Tradier, Tradovate

backtest(Ccxt({"exchange_id": "binance", "apiKey": "key", "secret": "secret", "sandbox": False}))
backtest(Tradier(account_number="1", access_token="token", paper=True))
backtest(Bitunix({"API_KEY": "key", "API_SECRET": "secret"}))
backtest(Tradovate({"USERNAME": 1, "DEDICATED_PASSWORD": "pass", "CID": "1", "SECRET": "secret"}))
"""


def run(text: str, store: Path, folder: Path) -> tuple[list[str], str]:
    """Run a script that cannot connect; return the requests without an answer and refused addresses, and its output."""
    script = folder / "script.py"
    script.write_text(STRATEGY + text)
    (folder / "sandbox").mkdir()
    moment = dt.datetime.now(dt.timezone.utc)
    with on_ground(folder, {}):
        offline = Script(script, (), store, stored_as_of=moment, sandbox=folder / "sandbox")
        outcome = run_side(offline, LUMIBOT, folder / "run", folder / "cache").outcome
    assert outcome.backtests
    for backtest in outcome.backtests:
        assert backtest.ended
        assert len(backtest.fills) == 1
    return [*outcome.not_stored, *outcome.refused], (folder / "run" / "output.txt").read_text()


def test_alpaca_as_most_scripts_construct_it(store: Path, tmp_path: Path) -> None:
    assert run(ALPACA, store, tmp_path)[0] == []


@pytest.mark.long
def test_brokers_that_connect_later(store: Path, tmp_path: Path) -> None:
    assert run(OTHERS, store, tmp_path)[0] == []


CONNECTING = {
    "InteractiveBrokers": """InteractiveBrokers({"IP": "127.0.0.1", "SOCKET_PORT": 1, "CLIENT_ID": 1})""",
    "InteractiveBrokersREST": """InteractiveBrokersREST({"IB_USERNAME": "me", "IB_PASSWORD": "pass"})""",
    "Schwab": """Schwab({"SCHWAB_ACCOUNT_NUMBER": "1", "SCHWAB_APP_KEY": "key"})""",
    "Tradovate": """Tradovate(dict(USERNAME="i", DEDICATED_PASSWORD="x", CID="1", SECRET="x", CONNECT_ON_INIT=True))""",
}
REFUSED = f"""\
import lumibot.brokers
names = {list(CONNECTING)!r}
for name, source in zip(names, {list(CONNECTING.values())!r}):
    try:
        eval(source, {{name: getattr(lumibot.brokers, name)}})
    except RuntimeError as error:
        print("REFUSED", name, "with", error)
raise SystemExit("to the end")
"""


def test_brokers_that_connect_at_once_are_refused_with_advice(store: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="it ended with: to the end"):
        run(REFUSED, store, tmp_path)
    printed = (tmp_path / "run" / "output.txt").read_text()
    for name in CONNECTING:
        assert f"REFUSED {name} with {name} " in printed, printed
    assert printed.count("construct it only if the script trades live") == len(CONNECTING)
