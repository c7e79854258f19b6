"""What a recorder of streams has done so far, for its status line, its log and its summary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from lumibot_duckdb.display import count, new_york
from lumibot_duckdb.live.streams.stream_comparison import Comparison


@dataclass
class Totals:
    """Counts of bars and connections.

    Attributes:
        streamed: Bars that the stream sent.
        corrections: Bars that the stream sent again.
        settled: Bars that were read by REST for the series of backtests.
        connections: How often the stream was connected.
        newest: The start of the newest bar of the stream, in epoch seconds.
        settled_until: All bars that start before this were read by REST, or at least requested.
        comparison: How the bars of the stream differed from those of REST.
    """

    streamed: int = 0
    corrections: int = 0
    settled: int = 0
    connections: int = 0
    newest: int | None = None
    settled_until: int | None = None
    comparison: Comparison = field(default_factory=Comparison)

    def copy(self) -> Totals:
        """Return a copy, to compare with later."""
        return replace(self)

    def status(self, name: str, symbols: int, *, connected: bool) -> str:
        """Return the text of the status line."""
        state = "Recording" if connected else "Reconnecting, to record" if self.connections else "Connecting, to record"
        newest = "" if self.newest is None else f", newest {new_york(self.newest)}"
        return f"{state} {count(symbols, 'symbol')} from {name}: {count(self.streamed, 'bar')}{newest}"

    def since(self, before: Totals, recorder: Any) -> str:
        """Return one line about what was done since an earlier count, such as an hour ago."""
        parts = [
            count(self.streamed - before.streamed, "bar"),
            count(self.corrections - before.corrections, "correction"),
            f"{count(self.settled - before.settled, 'settled bar')}",
            count(self.connections - before.connections, "connection"),
        ]
        newest = "no bar so far" if self.newest is None else f"newest bar {new_york(self.newest)}"
        return f"{', '.join(parts)}; {newest}{_troubles(recorder)}"

    def summary(self, name: str, symbols: int, recorder: Any) -> str:
        """Return what the whole recording has brought, in a few lines."""
        lines = [
            f"Recorded {count(self.streamed, 'bar')} of {count(symbols, 'symbol')} from {name}, with "
            f"{count(self.corrections, 'correction')} and {count(self.connections, 'connection')}"
            f"{_troubles(recorder)}."
        ]
        if self.settled_until is not None:
            lines.append(
                f"Read {count(self.settled, 'settled bar')} for backtests, up to {new_york(self.settled_until)} in New "
                "York. The next recording or backtest reads later ones."
            )
        if self.comparison.differing:
            lines.append(f"Stream and REST: {self.comparison}.")
        elif self.comparison.compared:
            lines.append(f"Stream and REST: {count(self.comparison.compared, 'bar')}, all equal.")
        return "\n".join(lines)


def _troubles(recorder: Any) -> str:
    """Return what the writer of the bars could not do."""
    words = (("waiting", "waiting"), ("spooled", "beside the store"), ("dropped", "dropped"), ("failed", "lost"))
    found = [f"{getattr(recorder, name)} {word}" for name, word in words if getattr(recorder, name, 0)]
    return f" ({', '.join(found)})" if found else ""
