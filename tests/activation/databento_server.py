"""A loopback server for Databento's official client: answers with a dataset's range, and bars as DBN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock
from urllib.parse import parse_qsl

import databento
import databento_dbn as dbn
import pandas as pd

from sources.larger_bars import HOW
from wire.loopback import Answer, LoopbackServer, Request

_STEPS = {"ohlcv-1m": ("1min", 0x21), "ohlcv-1h": ("1h", 0x22), "ohlcv-1d": ("1D", 0x23)}


@dataclass
class DatabentoServer(LoopbackServer):
    """Fill `minutes` by contract, as in "ESM4": open, high, low, close and volume by tz-aware bar start."""

    minutes: dict[str, pd.DataFrame] = field(default_factory=dict)
    multiplier: int = 5

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Answer as Databento does."""
        if request.path == "/v0/metadata.get_dataset_range":
            return Answer({"start": "2010-06-06T00:00:00.000000000Z", "end": "2030-01-01T00:00:00.000000000Z"})
        form = _form(request)
        if request.path == "/v0/timeseries.get_range" and form["symbols"] in self.minutes:
            definition = form["schema"] == "definition"
            return Answer(_encoded(form, self._definition(form) if definition else self._bars(form)))
        return Answer({"detail": "not found"}, 404)

    def _definition(self, form: Mapping[str, str]) -> list[dbn.InstrumentDefMsg]:
        at = pd.Timestamp(form["start"], tz="UTC").value
        kind, action = dbn.InstrumentClass.FUTURE, dbn.SecurityUpdateAction.ADD
        tick, size = 250_000_000, self.multiplier * 10**9
        symbol = form["symbols"]
        return [
            dbn.InstrumentDefMsg(
                1, 7, at, at, tick, 10**9, symbol, symbol[:-2], "FUT", kind, action, unit_of_measure_qty=size
            )
        ]

    def _bars(self, form: Mapping[str, str]) -> list[dbn.OHLCVMsg]:
        step, kind = _STEPS[form["schema"]]
        bars = self.minutes[form["symbols"]].tz_convert("UTC").resample(step).agg(HOW).dropna()
        first, last = (pd.Timestamp(form[name], tz="UTC") for name in ("start", "end"))
        bars = bars[(bars.index >= first) & (bars.index < last)]
        prices = (bars[["open", "high", "low", "close"]] * 1e9).round().astype("int64")
        rows = zip(
            bars.index.as_unit("ns").asi8.tolist(),
            prices.to_numpy().tolist(),
            bars["volume"].astype("int64").tolist(),
            strict=True,
        )
        return [dbn.OHLCVMsg(kind, 1, 7, start, *row, volume) for start, row, volume in rows]


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode()))


def _encoded(form: Mapping[str, str], records: Sequence[dbn.OHLCVMsg | dbn.InstrumentDefMsg]) -> bytes:
    first, last = (pd.Timestamp(form[name], tz="UTC").value for name in ("start", "end"))
    metadata = dbn.Metadata(
        dataset=form["dataset"],
        start=first,
        end=last,
        stype_in=dbn.SType.from_str(form["stype_in"]),
        stype_out=dbn.SType.from_str(form["stype_out"]),
        schema=dbn.Schema.from_str(form["schema"]),
        symbols=[form["symbols"]],
    )
    return bytes(metadata) + b"".join(bytes(record) for record in records)


@contextmanager
def databento_redirected_to(url: str) -> Iterator[None]:
    """Change the default gateway of Databento's official client, and let it connect without TLS."""
    made = databento.Historical.__init__
    defaults = tuple(url if value == databento.HistoricalGateway.BO1 else value for value in made.__defaults__ or ())
    assert url in defaults
    with (
        mock.patch.object(made, "__defaults__", defaults),
        mock.patch("databento.historical.client.validate_gateway", lambda url: url),
    ):
        yield
