"""Requests and their answers in the form in which they are recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from lumibot.entities import Bars

from lumibot_duckdb.comparison.answers import Answer, frame_answer, value_answer
from lumibot_duckdb.comparison.value_text import argument_text, as_text
from lumibot_duckdb.lumibot_contract.strategy_access import polars_frame_of

_LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Request:
    """A call as text, with its asset and its timestep."""

    call: str
    asset: str
    timestep: str

    @classmethod
    def of(cls, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
        """Return the request that a call of a method makes."""
        arguments = [argument_text(value) for value in args]
        arguments += [f"{word}={argument_text(value)}" for word, value in sorted(kwargs.items()) if value is not None]
        first = args[0] if args else next((kwargs[word] for word in ("asset", "assets") if word in kwargs), "")
        timestep = kwargs.get("timestep", args[2] if len(args) > 2 else None)
        return cls(f"{name}({', '.join(arguments)})", _short(argument_text(first)), str(timestep))


def answers_to(request: Request, when: str, answer: Any) -> Iterator[Answer]:
    """Yield an answer in a form that can be written: one for each asset, if it has the bars of several."""
    if isinstance(answer, Bars):
        polars = polars_frame_of(answer)
        about = [answer.source, answer.asset, answer.quote, None if polars is None else str(polars.schema)]
        yield frame_answer(when, request.call, request.asset, answer.pandas_df, f"bars {as_text(about)}")
    elif isinstance(answer, pd.DataFrame):
        yield frame_answer(when, request.call, request.asset, answer)
    elif isinstance(answer, pd.Series):
        yield frame_answer(when, request.call, request.asset, answer.to_frame(), f"series {as_text(answer.name)}")
    elif isinstance(answer, Mapping) and any(isinstance(each, Bars | pd.DataFrame) for each in answer.values()):
        for asset, each in answer.items():
            yield from answers_to(Request(request.call, as_text(asset), request.timestep), when, each)
    else:
        yield value_answer(when, request.call, request.asset, as_text(answer))


def failure_answer(request: Request, when: str, error: Exception) -> Answer:
    """Return what is recorded if a request raises an error: the type of the error."""
    return value_answer(when, request.call, request.asset, f"raised {type(error).__name__}")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SUBJECT else f"{text[: _LONGEST_SUBJECT - 1]}…"
