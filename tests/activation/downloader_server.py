"""A loopback server that speaks Lumibot's data downloader: a queue of requests to ThetaData and Interactive Brokers.

Every request completes as soon as it is submitted. The server has stocks: their trades by the minute, the days made of
them, and no corporate actions; at ThetaData also options, worth what they were if exercised and `PREMIUM` more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sources.larger_bars import HOW
from wire.loopback import Answer, LoopbackServer, Request

NEW_YORK = "America/New_York"
NOTHING = 472  # ThetaData's status for missing data
PREMIUM = 2.0
PAGE = 1000  # the most bars in an answer of Interactive Brokers


@dataclass
class DownloaderServer(LoopbackServer):
    """Fill `minutes` by symbol: open, high, low, close and volume by tz-aware bar start, in New York's time.

    Each has options of all these `expirations` (ISO dates) and `strikes`.
    """

    minutes: dict[str, pd.DataFrame] = field(default_factory=dict)
    expirations: list[str] = field(default_factory=list)
    strikes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._done: list[Answer] = []

    def submitted(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return the requests, in an order that does not depend on the clients' threads."""
        jobs = [json.loads(request.body) for request in self.requests if request.path == "/queue/submit"]
        return sorted((job["path"], sorted(job["query_params"].items())) for job in jobs)

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as the downloader does."""
        match request.path.strip("/").split("/"):
            case ["queue", "submit"]:
                job = json.loads(request.body)
                result = self._result(job["path"], job["query_params"])
                with self._guard:
                    self._done.append(result)
                    return Answer({"request_id": str(len(self._done) - 1), "status": "pending"})
            case ["queue", "status", _]:
                return Answer({"status": "completed", "queue_position": 0, "attempts": 1})
            case ["queue", number, "result"]:
                return self._done[int(number)]
        return Answer({"error": "no such page"}, 404)

    def _result(self, path: str, query: Mapping[str, str]) -> Answer:
        if path == "v3/option/list/expirations":
            return Answer({"result": {"expiration": self.expirations}})
        if path == "v3/option/list/strikes":
            return Answer({"result": {"strike": self.strikes}})
        if re.fullmatch("v3/(stock|option)/history/(eod|ohlc)", path) and query["symbol"] in self.minutes:
            return self._theta_history(path.rsplit("/", 1)[1], query)
        if path == "ibkr/iserver/secdef/search" and query["symbol"] in self.minutes:
            return Answer({"result": [{"conid": self._conid(query["symbol"]), "secType": "STK"}]})
        if path == "ibkr/iserver/marketdata/history":
            return self._broker_bars(query)
        return Answer({"status": "failed"}, NOTHING)

    # -- ThetaData -------------------------------------------------------------------------------------------

    def _theta_history(self, what: str, query: Mapping[str, str]) -> Answer:
        if what == "eod":
            days = self._days(_of_option(self.minutes[query["symbol"]], query))
            days = days.loc[query["start_date"] : query["end_date"]]
            return _columns(days, "created", [f"{day.date()}T17:15:00.000" for day in days.index])
        bars = self.minutes[query["symbol"]].loc[query["date"]].between_time(query["start_time"], query["end_time"])
        bars = _of_option(bars, query)
        return _columns(bars, "timestamp", [f"{start:%Y-%m-%dT%H:%M:%S.000}" for start in bars.index])

    # -- Interactive Brokers ---------------------------------------------------------------------------------

    def _conid(self, symbol: str) -> int:
        return 1000 + list(self.minutes).index(symbol)

    def _broker_bars(self, query: Mapping[str, str]) -> Answer:
        symbol = list(self.minutes)[int(query["conid"]) - 1000]
        if query["bar"] == "1d":
            bars = self._days(self.minutes[symbol])
            bars.index = (bars.index + pd.Timedelta(hours=9.5)).tz_localize(NEW_YORK)
        else:
            bars = self.minutes[symbol].resample(query["bar"]).agg(HOW).dropna()
        end = pd.Timestamp(query["startTime"].replace("-", " "), tz="UTC")
        bars = bars[bars.index < end].tail(PAGE)
        starts = bars.index.tz_convert("UTC").as_unit("ms").asi8
        columns = zip(starts.tolist(), *(bars[name].tolist() for name in HOW), strict=True)
        return Answer(
            {"result": {"data": [dict(zip("tohlcv", row, strict=True)) for row in columns], "volumeFactor": 1}}
        )

    def _days(self, minutes: pd.DataFrame) -> pd.DataFrame:
        return minutes.between_time("09:30", "15:59").tz_localize(None).resample("1D").agg(HOW).dropna()


def _of_option(minutes: pd.DataFrame, query: Mapping[str, str]) -> pd.DataFrame:
    """Return the bars of an option, given those of its underlying; without a requested option, those unchanged."""
    if "strike" not in query:
        return minutes
    sign = 1 if query["right"] == "call" else -1
    worth = {
        name: (sign * (minutes[name] - float(query["strike"]))).clip(lower=0) + PREMIUM
        for name in ("open", "high", "low", "close")
    }
    bars = minutes.assign(**worth)
    low, high = bars[["open", "close"]].min(axis=1), bars[["open", "close"]].max(axis=1)
    return bars.assign(low=low, high=high).round(4)


def _columns(frame: pd.DataFrame, label: str, labels: list[str]) -> Answer:
    if frame.empty:
        return Answer({"status": "failed"}, NOTHING)
    columns: dict[str, list[Any]] = {label: labels, **{str(name): frame[name].tolist() for name in frame}}
    return Answer({"result": columns})
