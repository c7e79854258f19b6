"""`lumibot-duckdb live`: what concerns live trading."""

from __future__ import annotations

from lumibot_duckdb.cli import live_check, live_replay, live_status
from lumibot_duckdb.cli.parser import CommandParser

_DESCRIPTION = """\
Show what live trading recorded, check it against the provider, and backtest recorded sessions.

`lumibot-duckdb run --live` records a live strategy, and `lumibot-duckdb record` records bars without one.
"""


def configure(parser: CommandParser) -> None:
    """Add the subcommands."""
    parser.description = _DESCRIPTION
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=CommandParser)
    for name, module in (("status", live_status), ("check", live_check), ("replay", live_replay)):
        module.configure(actions.add_parser(name, help=module.PURPOSE))
