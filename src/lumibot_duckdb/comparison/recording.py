"""The recording of one backtest: its requests and answers, orders, trades, portfolio values, charts and messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from threading import get_ident, local
from typing import Any

import pandas as pd
from lumibot.backtesting import market_input_evidence

from lumibot_duckdb.comparison.answers import Answer, AnswersWriter
from lumibot_duckdb.comparison.locks import fork_safe_lock
from lumibot_duckdb.comparison.meters import FIRST_BARS, REQUESTS, Meters
from lumibot_duckdb.comparison.order_log import OrderLog
from lumibot_duckdb.comparison.outcome import (
    MESSAGE_COLUMNS,
    TableWriter,
    answers_file,
    charts_file,
    events_file,
    inputs_folder,
    messages_file,
    orders_file,
    returns_file,
    values_file,
    write_backtest,
    write_table,
)
from lumibot_duckdb.comparison.parameters import parameter_texts
from lumibot_duckdb.comparison.redaction import without
from lumibot_duckdb.comparison.request_text import Request, answers_to, failure_answer
from lumibot_duckdb.comparison.value_text import argument_text, as_text, cell, plain_text
from lumibot_duckdb.lumibot_contract import strategy_access

# Columns of the log of trade events with random identifiers, or with times of the computer's clock.
_RANDOM_COLUMNS = frozenset(
    ("identifier", "order_identifier", "parent_identifier", "event_id", "cash_event_broker_event_id", "audit.timestamp")
)


class _InRequest(local):
    """Whether this thread is inside a recorded request."""

    active = False


class Recording:
    """The recording of a running backtest."""

    def __init__(self, strategy: Any, folder: Path, number: int, meters: Meters, secrets: Set[str]) -> None:
        self.strategy = strategy
        self.in_request = _InRequest()
        self.thread = get_ident()
        self._folder = folder
        self._number = number
        self._about = _about(strategy, frozenset(secrets))
        self._benchmark: dict[str, str] = {}
        self.risk_free_rate: float | None = None  # the one that Lumibot has read last; reading it may download it
        self._answers = AnswersWriter(answers_file(folder, number))
        self._order_table = TableWriter(orders_file(folder, number), self._redacted)
        self._orders = OrderLog(self._order_table)
        self._messages = _MessageCounts(TableWriter(messages_file(folder, number), self._redacted))
        self._meters = meters
        self._secrets = secrets
        self._touched: set[tuple[str, Any]] = set()
        self._writing = fork_safe_lock()
        self._ended = False
        write_backtest(folder, number, **self._about, analysis={}, ended=False)

    def has(self, owner: Any) -> bool:
        """Return whether a broker or a source belongs to this backtest."""
        broker = self.strategy.broker
        return any(owner is each for each in (broker, broker.data_source, getattr(broker, "option_source", None)))

    def leave_to_parent(self) -> None:
        """Stop writing, in a forked process, which shares the open files with its parent."""
        self._ended = True
        self._answers.detach()
        self._order_table.detach()
        self._messages.table.detach()

    # -- while the backtest runs -----------------------------------------------------------------------------------

    def record(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a call for the strategy, and record its answer or the type of its error."""
        self.in_request.active = True
        try:
            with self._meters.excluded():
                request = Request.of(name, args, kwargs)
                touch = (request.asset, request.timestep)
            try:
                with self._meters.within(REQUESTS if touch in self._touched else FIRST_BARS):
                    answer = method(*args, **kwargs)
            except Exception as error:
                self._write([failure_answer(request, self._now(), error)])
                raise
            with self._meters.excluded():
                self._touched.add(touch)
                self._write(answers_to(request, self._now(), answer))
            return answer
        finally:
            self.in_request.active = False

    def note_orders(self, note: Callable[[OrderLog, str], None]) -> None:
        """Call `note` with the log of orders and the time of the backtest."""
        with self._meters.excluded(), self._writing:
            if not self._ended:
                note(self._orders, self._now())

    def note_message(self) -> None:
        """Count a message that the strategy logs."""
        with self._meters.excluded(), self._writing:
            if not self._ended:
                self._messages.count(self._now())

    def note_benchmark(self) -> None:
        """Record the returns of the benchmark, which have been computed."""
        self._benchmark = _benchmark(self.strategy)

    def _now(self) -> str:
        when: str = self.strategy.get_datetime().isoformat()
        return when

    def _write(self, answers: Iterable[Answer]) -> None:
        with self._writing:
            if self._ended:
                return  # requested by a thread that outlives the backtest
            for answer in answers:
                self._answers.write(_without(answer, frozenset(self._secrets)))

    def _redacted(self, text: str) -> str:
        return without(text, frozenset(self._secrets))

    # -- at its end ------------------------------------------------------------------------------------------------

    def end(self, failure: str | None) -> None:
        """Write the results of the backtest, and the error that stopped it, if any."""
        strategy, folder, number = self.strategy, self._folder, self._number
        with self._writing:
            self._ended = True
            self._orders.ended(self._now(), strategy.broker.get_tracked_orders(strategy.name))
            self._answers.close()
            self._order_table.close()
            self._messages.end()
        market_input_evidence.write_market_input_evidence(strategy.broker.data_source, inputs_folder(folder, number))
        events = strategy_access.trade_events(strategy)
        events = events.drop(columns=[name for name in events.columns if name in _RANDOM_COLUMNS])
        write_table(events_file(folder, number), list(events.columns), self._rows(events))
        values = strategy_access.portfolio_values(strategy)
        write_table(values_file(folder, number), list(values.columns), self._rows(values))
        self._write_returns()
        self._write_charts()
        analysis = {
            str(name): self._redacted(plain_text(value))
            for name, value in strategy_access.analysis_of(strategy).items()
        }
        write_backtest(
            folder,
            number,
            **self._about,
            analysis={**analysis, **self._benchmark},
            parameters=parameter_texts(strategy_access.parameters_of(strategy), frozenset(self._secrets)),
            risk_free_rate=self.risk_free_rate,
            failure=failure,
        )

    def _rows(self, frame: pd.DataFrame) -> Iterator[list[str]]:
        for row in frame.itertuples(index=False, name=None):
            yield [self._redacted(cell(value)) for value in row]

    def _write_returns(self) -> None:
        """Write the daily returns, if Lumibot has computed what they are made of."""
        returns = strategy_access.daily_returns(self.strategy)
        if returns is not None:
            rows = ([str(day), *map(repr, map(float, row))] for day, *row in returns.itertuples(name=None))
            write_table(returns_file(self._folder, self._number), ["day", *returns.columns], rows)

    def _write_charts(self) -> None:
        """Write the markers, lines and bars that the strategy has added to its charts."""
        table = TableWriter(charts_file(self._folder, self._number), self._redacted)
        for kind, point in strategy_access.chart_points(self.strategy):
            table.begin(["kind", "datetime", "name", "value", "others"])
            others = {name: value for name, value in point.items() if name not in ("datetime", "name", "value")}
            named = (cell(point.get(name)) for name in ("datetime", "name", "value"))
            table.write([kind, *named, as_text(others)])
        table.close()


class _MessageCounts:
    """Counts the messages that a strategy logs at each time of the backtest.

    Their texts are not compared, because many have random identifiers or durations in them.
    """

    def __init__(self, table: TableWriter) -> None:
        self.table = table
        self._when = ""
        self._count = 0

    def count(self, when: str) -> None:
        """Count a message."""
        if when != self._when:
            self._write()
            self._when, self._count = when, 0
        self._count += 1

    def end(self) -> None:
        """Write what is left."""
        self._write()
        self.table.close()

    def _write(self) -> None:
        if self._count:
            self.table.begin(MESSAGE_COLUMNS)
            self.table.write([self._when, str(self._count)])


def _about(strategy: Any, secrets: frozenset[str]) -> dict[str, Any]:
    source = strategy.broker.data_source
    kind = next(kind for kind in type(source).__mro__ if kind.__module__.startswith(("lumibot", "lumibot_duckdb")))
    settings = as_text(strategy_access.settings_of(strategy))
    benchmark = strategy_access.benchmark_asset(strategy)
    return {
        "name": without(strategy_access.name_of(strategy), secrets),
        "source": f"{kind.__module__}.{kind.__qualname__}",
        "covered": bool(getattr(source, "use_duckdb", False)),
        "settings": blake2b(settings.encode(), digest_size=16).hexdigest(),  # parameters may have keys in them
        "span": [str(strategy.backtesting_start or ""), str(strategy.backtesting_end or "")],
        "benchmark": without(argument_text(benchmark), secrets) if benchmark else "",
    }


def _benchmark(strategy: Any) -> dict[str, str]:
    """Return the returns of a backtest's benchmark as statistics: one for each row, in chronological order."""
    frame = strategy_access.benchmark_returns(strategy)
    if frame is None:
        return {}
    of = f"benchmark {argument_text(strategy_access.benchmark_asset(strategy))}"
    columns, *rows = frame.to_csv(index=False).splitlines()
    return {f"{of}, columns": columns, **{f"{of} {time}": row for time, row in zip(frame.index, rows, strict=True)}}


def _without(answer: Answer, secrets: frozenset[str]) -> Answer:
    """Return an answer without keys; frames of bars are unchanged."""
    parts = answer.parts if answer.is_frame else [without(answer.text, secrets).encode()]
    return replace(answer, call=without(answer.call, secrets), asset=without(answer.asset, secrets), parts=parts)
