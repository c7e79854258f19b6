"""`lumibot-duckdb live`: what concerns live trading."""

from __future__ import annotations

from lumibot_duckdb.cli import live_replay
from lumibot_duckdb.cli.parser import CommandParser

_DESCRIPTION = "Look after live trading: see docs/live-sessions.md."


def configure(parser: CommandParser) -> None:
    """Add the subcommands."""
    parser.description = _DESCRIPTION
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=CommandParser)
    live_replay.configure(actions.add_parser("replay", help=live_replay.PURPOSE))
