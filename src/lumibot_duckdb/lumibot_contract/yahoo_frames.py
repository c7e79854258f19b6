"""The frames of Lumibot's Yahoo helper, which are made of stored bars."""

from __future__ import annotations

from lumibot_duckdb.lumibot_contract.requirement import Requirement

REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement(
        "lumibot.tools.yahoo_helper:YahooHelper.format_df",
        "emulated: adjusted prices and names of columns",
        digests=frozenset(("28e19b012090deb1",)),
    ),
    Requirement(
        "lumibot.tools.yahoo_helper:YahooHelper.process_df",
        "emulated: the times that bars are stamped with",
        digests=frozenset(("8e4aabc0b050891e",)),
    ),
    Requirement(
        "lumibot.tools.yahoo_helper:YahooHelper.download_symbol_data",
        "emulated: which bars of Yahoo's are kept",
        digests=frozenset(("7eae8a53f2b70cab",)),
    ),
)
