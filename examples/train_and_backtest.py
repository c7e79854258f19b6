"""Train a model on a panel of stored bars, then trade on its predictions: `python examples/train_and_backtest.py`.

Needs scikit-learn: `pip install 'lumibot-duckdb[ml]'`. At the end, the script shows that neither the training nor the
backtest sees the future: it repeats both on bars that are garbage from some day on, and nothing before changes.
"""

from datetime import datetime

import numpy as np
import pandas as pd
from lumibot.strategies.strategy import Strategy
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lumibot_duckdb import DuckDBDataStorage
from lumibot_duckdb.backtesting import PandasDataBacktesting
from lumibot_duckdb.panels import PurgedWalkForward, TripleBarrier

SYMBOLS = ["ALPHA", "BRAVO", "DELTA", "GAMMA"]
FEATURES = ["return(1)", "return(5)", "rsi(14)", "bollinger(20, 2)", "volatility(20)"]
TARGET = TripleBarrier(up=0.02, down=0.02, bars=10)
TRAIN_UNTIL = datetime(2023, 1, 3)
BACKTEST_UNTIL = datetime(2023, 6, 30)
GARBAGE_FROM = datetime(2023, 4, 3)


def generated_bars(seed: int) -> pd.DataFrame:
    """Return four years of days in which moves tend to continue. Yours come from a file or a provider."""
    rng = np.random.default_rng(seed)
    index = pd.bdate_range("2020-01-02", "2023-12-29", tz="America/New_York")
    moves = rng.normal(0.0003, 0.012, len(index))
    for day in range(1, len(moves)):
        moves[day] += 0.25 * moves[day - 1]
    close = 100 * np.exp(moves.cumsum())
    opened = close * np.exp(rng.normal(0, 0.004, len(index)))
    spread = np.abs(rng.normal(0, 0.005, len(index)))
    high, low = np.maximum(opened, close) * (1 + spread), np.minimum(opened, close) * (1 - spread)
    bars = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close}, index=index).round(2)
    return bars.assign(volume=rng.integers(100_000, 1_000_000, len(index)))


def fill(storage: DuckDBDataStorage, garbage_from: datetime | None = None) -> None:
    """Store the bars of all symbols; from some day on with random prices in their place."""
    for seed, symbol in enumerate(SYMBOLS):
        bars = generated_bars(seed)
        if garbage_from is not None:
            late = bars.index >= pd.Timestamp(garbage_from, tz="America/New_York")
            price = np.random.default_rng(seed).uniform(1, 1000, late.sum()).round(2)
            bars.loc[late, ["open", "high", "low", "close"]] = np.column_stack([price] * 4)
        storage.store_ohlcv_data(symbol, bars, source="mine", timeframe="day")


def train(storage: DuckDBDataStorage, until: datetime):
    """Return a model that was trained on what was known at a moment, and its scores in walk-forward tests."""
    panel = storage.panel(SYMBOLS, FEATURES, end=until, targets=TARGET).dropna()
    features, labels = (
        panel.drop(columns=["asset_symbol", "timestamp", TARGET.name, f"{TARGET.name}_known_at"]),
        panel[TARGET.name],
    )
    model = make_pipeline(StandardScaler(), LogisticRegression())
    times = panel[["timestamp", f"{TARGET.name}_known_at"]]
    scores = cross_val_score(model, features, labels, cv=PurgedWalkForward(5, embargo=5), groups=times)
    return model.fit(features, labels), scores


class FollowTheModel(Strategy):
    """Holds each symbol while the model finds the upper barrier more likely than the lower one."""

    def initialize(self):
        """Trade every day."""
        self.sleeptime = "1D"
        self.decisions = []

    def on_trading_iteration(self):
        """Predict from the features of the last bars that have ended by now."""
        storage, model = self.parameters["storage"], self.parameters["model"]
        now = self.get_datetime()
        panel = storage.panel(SYMBOLS, FEATURES, start=now - pd.Timedelta(days=10), end=now)
        latest = panel.groupby("asset_symbol").tail(1).set_index("asset_symbol")
        features = latest.drop(columns="timestamp")
        falls, *_, rises = model.predict_proba(features).T
        for symbol, buy in zip(features.index, rises > falls, strict=True):
            self.decisions.append({"time": now, "symbol": symbol, "buy": buy, **latest.loc[symbol]})
            self._hold(symbol, 25_000 if buy else 0)

    def _hold(self, symbol, dollars):
        position = self.get_position(symbol)
        if dollars and position is None:
            self.submit_order(self.create_order(symbol, dollars // self.get_last_price(symbol), "buy"))
        elif not dollars and position is not None:
            self.submit_order(self.create_order(symbol, position.quantity, "sell"))


def backtest(storage: DuckDBDataStorage, model, until: datetime):
    """Return the strategy after a backtest, and its decisions as a frame."""
    _, strategy = FollowTheModel.run_backtest(
        PandasDataBacktesting.using(storage, source="mine", timestep="day"),
        TRAIN_UNTIL,
        until,
        parameters={"storage": storage, "model": model},
        benchmark_asset=None,
        risk_free_rate=0,
        show_plot=False,
        show_tearsheet=False,
        save_tearsheet=False,
        quiet_logs=True,
    )
    return strategy, pd.DataFrame(strategy.decisions)


def decided_on_the_panel(storage: DuckDBDataStorage, decisions: pd.DataFrame) -> int:
    """Return how many decisions were made on the features of the panel; raise AssertionError if one was not."""
    panel = storage.panel(SYMBOLS, FEATURES).rename(columns={"asset_symbol": "symbol"})
    both = decisions.merge(panel, on=["symbol", "timestamp"], suffixes=("", "_of_panel"))
    assert len(both) == len(decisions)
    assert (both["timestamp"] + pd.DateOffset(days=1) <= both["time"]).all()  # the bar had ended
    for name in panel.columns[2:]:
        np.testing.assert_allclose(both[name], both[f"{name}_of_panel"], rtol=1e-9)
    return len(both)


def main(folder: str = ".", until: datetime = BACKTEST_UNTIL, garbage_from: datetime = GARBAGE_FROM) -> None:
    """Train, trade, and show that the future changes nothing."""
    storage = DuckDBDataStorage(f"{folder}/panel_example.duckdb")
    fill(storage)
    model, scores = train(storage, TRAIN_UNTIL)
    print("accuracy of the walk-forward tests:", scores.round(3))
    strategy, decisions = backtest(storage, model, until)
    print(
        f"ended with {strategy.portfolio_value:,.2f} after {len(decisions)} decisions, {decisions['buy'].sum()} to hold"
    )
    print(f"{decided_on_the_panel(storage, decisions)} decisions were made on the features of the panel")

    garbled = DuckDBDataStorage(f"{folder}/panel_example_garbage.duckdb")
    fill(garbled, garbage_from)
    same_model, same_scores = train(garbled, TRAIN_UNTIL)
    assert np.array_equal(same_scores, scores)
    assert np.array_equal(same_model[-1].coef_, model[-1].coef_)
    _, others = backtest(garbled, same_model, until)
    before = decisions["time"] < pd.Timestamp(garbage_from, tz="America/New_York")
    pd.testing.assert_frame_equal(others[before], decisions[before], check_exact=True)
    assert not others[~before].equals(decisions[~before])
    print(f"with garbage from {garbage_from:%Y-%m-%d} on, the model and {before.sum()} earlier decisions are the same")


if __name__ == "__main__":
    main()
