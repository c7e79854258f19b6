"""`run --live`: records the bars of a live script, and reports at its end how many."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.settings import settings


def record_live(store: Path, results: str | None, script: Path | None) -> None:
    """Record what the script in this process reads, until it ends, in any way.

    Raises:
        CommandError: the script would backtest.
    """
    if settings(script).get("IS_BACKTESTING", "").strip().lower() == "true":
        raise CommandError(
            "IS_BACKTESTING is true, so the script would run a backtest: unset it, or set it to false, to trade live; "
            "backtests run without --live"
        )
    from lumibot_duckdb.live.activation import activate

    active = activate(store, results)
    if active is None:  # which a warning has explained
        return

    def report() -> None:
        from lumibot_duckdb.live.activation import deactivate

        deactivate()
        counts = active.counts
        parts = [f"{counts.recorded:,} bars recorded in {active.store}"]
        if counts.waiting:
            parts.append(f"{counts.waiting:,} not stored, because the store was in use")
        parts.append(f"{counts.lost:,} lost (the log has the reasons)" if counts.lost else "none lost")
        if sys.stderr is not None:
            print(f"lumibot-duckdb: {printable(', '.join(parts))}", file=sys.stderr, flush=True)

    atexit.register(report)
