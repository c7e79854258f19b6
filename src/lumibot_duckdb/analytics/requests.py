"""Requests for indicators as people write them: "rsi", "rsi(14)", "bollinger(20, k=2)"."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from lumibot_duckdb.analytics.catalogue import CATALOGUE, Indicator
from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.analytics.parameters import Parameter, Value
from lumibot_duckdb.analytics.warm_up import WarmUp

_REQUEST = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*:?=(.*)", re.DOTALL)
_NOTHING = ("null", "none")


@dataclass(frozen=True, slots=True)
class Request:
    """An indicator with the values of its parameters, in their order."""

    indicator: Indicator
    values: tuple[Value, ...]

    @property
    def parameters(self) -> dict[str, Value]:
        """The values by name."""
        return dict(zip((p.name for p in self.indicator.parameters), self.values, strict=True))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the outputs."""
        return self.indicator.columns(self.parameters)

    @property
    def warm_up(self) -> WarmUp:
        """The earlier bars that a value depends on."""
        return self.indicator.warm_up(*self.values)


def request_list(texts: str | Iterable[str]) -> list[str]:
    """Return the requests that a caller means. Raises `IndicatorError` for a mapping, whose values would be lost."""
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise IndicatorError(
            f'{reprlib.repr(texts)} is no list of names with their parameters: write ["sma(3)", "rsi(14)"]'
        )
    return list(texts)


def parsed_requests(texts: str | Iterable[str]) -> tuple[Request, ...]:
    """Return what some requests mean, each once. Raises `IndicatorError`."""
    wanted = request_list(texts)
    if not wanted:
        raise IndicatorError('no indicator is requested: pass names such as "rsi(14)"')
    return tuple(dict.fromkeys(map(parsed_request, wanted)))


def parsed_request(text: str, catalogue: Mapping[str, Indicator] = CATALOGUE) -> Request:
    """Return what a request means. Raises `IndicatorError` for an unknown name and for wrong parameters.

    >>> parsed_request("bollinger(20, k=2)").columns[:2]
    ('bollinger_20_2_lower', 'bollinger_20_2_middle')
    """
    found = _REQUEST.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise IndicatorError(f'{text!r} is not an indicator: write it as "rsi(14)" or "bollinger(20, k=2)"')
    indicator = catalogue.get(found[1].lower())
    if indicator is None:
        raise IndicatorError(f"there is no indicator {found[1]!r}{_suggestion(found[1].lower(), catalogue)}")
    values = {p.name: p.default for p in indicator.parameters}
    given = found[2].split(",") if found[2] is not None and found[2].strip() else []
    seen: set[str] = set()
    for place, part in enumerate(given):
        parameter, written = _meant(indicator, place, part, seen, text)
        if parameter.name in seen:
            raise IndicatorError(f"{text.strip()}: {parameter.name} is given twice")
        seen.add(parameter.name)
        values[parameter.name] = parameter.checked(_number(written, parameter, text), text.strip())
    indicator.check(values, text.strip())
    return Request(indicator, tuple(values.values()))


def _meant(indicator: Indicator, place: int, part: str, seen: set[str], text: str) -> tuple[Parameter, str]:
    """Return the parameter that a part of a request is for, and what is written for it."""
    named = _NAMED.fullmatch(part)
    if named is not None:
        by_name = {p.name: p for p in indicator.parameters}
        if named[1].lower() not in by_name:
            raise IndicatorError(
                f"{text.strip()}: {indicator.name} has no parameter {named[1]!r}; it is {indicator.usage()}"
            )
        return by_name[named[1].lower()], named[2]
    if place >= len(indicator.parameters):
        raise IndicatorError(f"{text.strip()}: too many values; it is {indicator.usage()}")
    if len(seen) > place or any(p.name not in seen for p in indicator.parameters[:place]):
        raise IndicatorError(f"{text.strip()}: a value without a name comes after one with a name")
    return indicator.parameters[place], part


def _number(written: str, parameter: Parameter, text: str) -> Value:
    word = written.strip()
    if word.lower() in _NOTHING and parameter.default is None:
        return None
    try:
        return float(word)
    except ValueError:
        raise IndicatorError(f"{text.strip()}: {parameter.name} must be {parameter.bounds}, not {word!r}") from None


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "; `lumibot-duckdb indicators --list` shows all"
