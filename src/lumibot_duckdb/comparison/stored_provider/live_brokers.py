"""Lets a script construct a live broker that its backtests do not use, without connecting it.

Many scripts are written as `Mine(broker=Alpaca(credentials)).backtest(...)`. Lumibot then reads the account of the
broker and opens a stream of its orders, although the backtest does not use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

from lumibot.brokers.broker import Broker
from lumibot.data_sources import DataSource

from lumibot_duckdb.lumibot_contract import strategy_access
from lumibot_duckdb.sources.shared.replacing import replaced

_CONNECTING = {
    "InteractiveBrokers": "connects to TWS or IB Gateway",
    "InteractiveBrokersRESTData": "starts a gateway and logs in",
    "Schwab": "logs in",
}
"""Brokers, or their data sources, that cannot be constructed without a connection."""


class ConnectingBrokerError(RuntimeError):
    """A script constructs a broker that connects at once, while the store answers in place of the providers."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name.removesuffix('Data')} {_CONNECTING.get(name, 'connects')} when it is constructed, which "
            "--from-cache does not allow. A backtest does not use it: construct it only if the script trades live "
            "(`if not IS_BACKTESTING`), or compare without --from-cache"
        )


@contextmanager
def unconnected_brokers() -> Iterator[None]:
    """Leave live brokers unconnected within a `with` block; their accounts are empty.

    Constructing one of those that cannot be left unconnected raises `ConnectingBrokerError`.
    """
    broker_init, source_init = Broker.__init__, DataSource.__init__

    @wraps(broker_init)
    def unconnected(broker: Any, *args: Any, **kwargs: Any) -> None:
        if not broker.IS_BACKTESTING_BROKER:
            _refuse_connecting(broker)
            kwargs["connect_stream"] = False
        broker_init(broker, *args, **kwargs)

    @wraps(source_init)
    def refused(source: Any, *args: Any, **kwargs: Any) -> None:
        _refuse_connecting(source)
        source_init(source, *args, **kwargs)

    with ExitStack() as replacing:
        replacing.enter_context(replaced(Broker, "__init__", unconnected))
        replacing.enter_context(replaced(DataSource, "__init__", refused))
        for owner, name, without_account in strategy_access.account_readers():
            replacing.enter_context(replaced(owner, name, without_account))
        yield


def _refuse_connecting(owner: Any) -> None:
    names = [kind.__name__ for kind in type(owner).__mro__ if kind.__module__.startswith("lumibot.")]
    for name in names:
        if name in _CONNECTING:
            raise ConnectingBrokerError(name)
    if "Tradovate" in names and strategy_access.connects_at_once(owner):
        raise ConnectingBrokerError("Tradovate")
