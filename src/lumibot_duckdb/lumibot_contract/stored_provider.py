"""What changes in Lumibot when the store answers in place of a provider."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("lumibot.credentials:POLYGON_API_KEY", "replaced by a placeholder"),
    Requirement("lumibot.strategies._strategy:POLYGON_API_KEY", "replaced by a placeholder"),
    Requirement("lumibot.tools.polygon_helper:POLYGON_API_KEY", "replaced by a placeholder"),
    Requirement("lumibot.tools.polygon_helper:time", "replaced to skip pauses"),
    Requirement("lumibot.tools.yahoo_helper:time", "replaced to skip pauses"),
    Requirement("lumibot.tools.ccxt_data_store:time", "replaced to skip pauses"),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:AlpacaBacktesting.ALPACA_MAX_REQUESTS_PER_MINUTE",
        "replaced to skip pauses",
    ),
    Requirement(
        "lumibot.backtesting.alpaca_backtesting:fetch_alpaca_bars", "wrapped to learn until when bars are needed"
    ),
    Requirement(
        "lumibot.tools.ccxt_data_store:CcxtCacheDB._get_barset_from_api",
        "wrapped to learn until when candles are needed",
        parameters=("symbol", "timeframe", "limit", "start", "end"),
    ),
    Requirement(
        "lumibot.tools.yahoo_helper:YahooHelper.fetch_symbol_data",
        "wrapped to learn until when bars are needed",
        parameters=("symbol", "caching", "last_needed_datetime", "interval"),
    ),
    Requirement(
        "lumibot.strategies._strategy:get_symbol_returns",
        "wrapped to learn until when bars are needed",
        parameters=("*args", "**kwargs"),
    ),
    Requirement(
        "lumibot.brokers.broker:Broker._set_initial_positions",
        "replaced, because a live broker is left unconnected",
        parameters=("strategy",),
    ),
    Requirement(
        "lumibot.strategies._strategy:_Strategy.update_broker_balances",
        "replaced, because a live broker is left unconnected",
    ),
    Requirement(
        "lumibot.brokers.broker:Broker.__init__",
        "wrapped, because a live broker is left unconnected",
        accepts=("connect_stream",),
    ),
)
