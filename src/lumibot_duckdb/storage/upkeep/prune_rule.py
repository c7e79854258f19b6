"""Rules for `prune`: the age from which on it removes bars, and the series to which that applies."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from lumibot_duckdb.storage.api import SeriesKey
from lumibot_duckdb.storage.identity import canonical_source
from lumibot_duckdb.storage.name_patterns import is_whole, name_matches
from lumibot_duckdb.storage.timeframes import canonical_timeframe

FOREVER = "forever"
_AGE = re.compile(r"(\d+)([dwy])")
_DAYS = {"d": 1, "w": 7, "y": 365}
_OLDEST = 365 * 1_000
_CHOICES = ("symbol", "source", "timeframe", "adjustment")


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which series a rule is about, and how old their bars may become.

    Attributes:
        older_than: bars that start longer ago are removed; None: no bar is.
        symbols: names or patterns such as "SPY", "BRK*" or "*/USD"; one has to match. Empty: any symbol.
        source: the source; None: any.
        timeframe: the timeframe; None: any.
        adjustment: the adjustment; "" for unadjusted bars; None: any.

    Example:
        >>> rule = PruneRule.parse("365d symbol=SPY,QQQ* source=polygon timeframe=1min")
        >>> rule.older_than.days, rule.symbols, rule.timeframe
        (365, ('SPY', 'QQQ*'), 'minute')
        >>> str(rule)
        '365d symbol=SPY,QQQ* source=polygon timeframe=minute'
        >>> PruneRule.parse('30d symbol="SPY * option,QQQ"').symbols
        ('SPY * option', 'QQQ')
    """

    older_than: timedelta | None
    symbols: tuple[str, ...] = ()
    source: str | None = None
    timeframe: str | None = None
    adjustment: str | None = None

    @classmethod
    def parse(cls, text: str) -> PruneRule:
        """Return a rule from its text. Raises ValueError."""
        words = _words(text)
        if not words:
            raise ValueError("a rule begins with an age, as in '365d source=polygon'")
        chosen: dict[str, str] = {}
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if name not in _CHOICES or not equals or not (value or name == "adjustment"):
                quoted = '; quote a symbol with spaces, as in symbol="SPY * option"' if "symbol" in chosen else ""
                raise ValueError(
                    f"{word!r} in the rule {text!r}: write symbol=…, source=…, timeframe=… or adjustment=…{quoted}"
                )
            if name in chosen:
                raise ValueError(f"the rule {text!r} has {name}= twice: separate several symbols by commas")
            chosen[name] = value
        return cls.of(
            None if words[0] == FOREVER else parse_age(words[0]),
            tuple(filter(None, chosen.get("symbol", "").split(","))),
            chosen.get("source"),
            chosen.get("timeframe"),
            chosen.get("adjustment"),
        )

    @classmethod
    def of(
        cls,
        older_than: timedelta | None,
        symbols: tuple[str, ...],
        source: str | None,
        timeframe: str | None,
        adjustment: str | None = None,
    ) -> PruneRule:
        """Return a rule with source and timeframe in their canonical spelling. Raises ValueError."""
        return cls(
            older_than,
            symbols,
            None if source is None else canonical_source(source),
            None if timeframe is None else canonical_timeframe(timeframe),
            adjustment,
        )

    def matches(self, key: SeriesKey) -> bool:
        """Return whether the rule is about a series."""
        return (
            self.source in (None, key.source)
            and self.timeframe in (None, key.timeframe)
            and self.adjustment in (None, key.adjustment)
            and (not self.symbols or any(_is_about(each, key) for each in self.symbols))
        )

    def covers(self, other: PruneRule) -> bool:
        """Return whether every series that another rule is about is surely one that this rule is about."""
        return (
            self.source in (None, other.source)
            and self.timeframe in (None, other.timeframe)
            and self.adjustment in (None, other.adjustment)
            and (
                not self.symbols
                or (
                    bool(other.symbols)
                    and all(any(_covers(one, name) for one in self.symbols) for name in other.symbols)
                )
            )
        )

    def __str__(self) -> str:
        words = [FOREVER if self.older_than is None else age_text(self.older_than)]
        if self.symbols:
            names = ",".join(self.symbols)
            words.append(f'symbol="{names}"' if " " in names else f"symbol={names}")
        words += [f"source={self.source}"] if self.source is not None else []
        words += [f"timeframe={self.timeframe}"] if self.timeframe is not None else []
        words += [f"adjustment={self.adjustment}"] if self.adjustment is not None else []
        return " ".join(words)


def parse_age(text: str) -> timedelta:
    """Return a duration in days, weeks or years of 365 days. Raises ValueError.

    >>> parse_age("2w").days
    14
    """
    found = _AGE.fullmatch(text.strip().lower())
    days = int(found[1]) * _DAYS[found[2]] if found else -1
    if not 0 <= days <= _OLDEST:
        raise ValueError(f"{text!r} is not an age: write days, weeks or years as 90d, 8w or 2y")
    return timedelta(days)


def age_text(age: timedelta) -> str:
    """Return a duration as `parse_age` reads it. Raises ValueError unless it is a number of days."""
    if age != timedelta(age.days) or age.days < 0:
        raise ValueError(f"{age} is not a whole number of days")
    return f"{age.days}d"


def rule_for(rules: tuple[PruneRule, ...], key: SeriesKey) -> PruneRule | None:
    """Return the first rule that is about a series."""
    return next((rule for rule in rules if rule.matches(key)), None)


def unreachable_rule(rules: tuple[PruneRule, ...]) -> tuple[PruneRule, PruneRule] | None:
    """Return the first rule that never applies, and the earlier one that applies instead; None if there is none."""
    pairs = ((rule, earlier) for number, rule in enumerate(rules) for earlier in rules[:number])
    return next(((rule, earlier) for rule, earlier in pairs if earlier.covers(rule)), None)


def _words(text: str) -> list[str]:
    """Return the words of a rule. Spaces between double quotes are part of a word. Raises ValueError."""
    words = shlex.shlex(text, posix=True)
    words.quotes, words.escape, words.commenters, words.whitespace_split = '"', "", "", True
    try:
        return list(words)
    except ValueError:
        raise ValueError(f"the rule {text!r} lacks a closing quote") from None


def _is_about(name: str, key: SeriesKey) -> bool:
    is_label = " bars from " in name and name.casefold() == key.label().casefold()
    return is_label or name_matches(name, key.asset)


def _covers(pattern: str, other: str) -> bool:
    """Return whether a pattern surely matches everything that another one matches.

    If the first has no wildcard but `*`, it does if it matches the text of the other one.
    """
    pattern, other = pattern.casefold(), other.casefold()
    if pattern in ("*", other):
        return True
    comparable = not set("?[") & set(pattern) and "[" not in other and (is_whole(pattern) or not is_whole(other))
    return comparable and fnmatchcase(other, pattern)
