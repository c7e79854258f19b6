"""What a sweep backtests: an unmodified script, or a strategy with the arguments of its backtest.

Both can be pickled. `identity` stays the same then, so that all trials of a target share its process. Their `repr`
leaves out what may have keys in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4


@dataclass(frozen=True)
class ScriptTarget:
    """An unmodified script that calls `Strategy.backtest` or `Strategy.run_backtest`.

    Each trial runs the script up to the swept call. Calls before it run unchanged, and nothing after it runs.

    Attributes:
        script: The path of the script, or the name of a module.
        arguments: The arguments of the script.
        is_module: Whether `script` is the name of a module.
        strategy: The name of the strategy whose backtest is swept, by its class or by the `name` of the backtest; by
            default, the first backtest of the script is.
        store: The store; None for the default one.
        environment: Environment variables of the script, besides those of this process.
        folder: The working folder of the script; None for that of this process.
    """

    script: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    is_module: bool = False
    strategy: str | None = None
    store: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    identity: str = field(default_factory=lambda: uuid4().hex, compare=False, repr=False)


@dataclass(frozen=True)
class ClassTarget:
    """A strategy, and the arguments of its backtest.

    Attributes:
        strategy: The strategy's class. It may be defined anywhere, also in a notebook.
        arguments: Arguments of `Strategy.run_backtest` by name, such as `backtesting_start`, `budget`, `pandas_data`.
            `datasource_class` is a class of Lumibot's or ours.
        store: The store; None for the default one.
        environment: Environment variables of the backtests, besides those of this process.
        folder: The working folder of the backtests; None for that of this process.
    """

    strategy: type[Any]
    arguments: Mapping[str, Any] = field(repr=False)
    store: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    identity: str = field(default_factory=lambda: uuid4().hex, compare=False, repr=False)


@dataclass(frozen=True)
class PickledTarget:
    """A `ClassTarget` on its way to another machine, whose class only the process of its backtests loads.

    Attributes:
        content: The strategy's class and the arguments of its backtest, pickled.
        name: The name of the class.
        store: As of a `ClassTarget`, like the rest.
    """

    content: bytes
    name: str
    store: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    identity: str = field(default_factory=lambda: uuid4().hex, compare=False, repr=False)


Target: TypeAlias = "ScriptTarget | ClassTarget"
RunnableTarget: TypeAlias = "Target | PickledTarget"
"""What a process can run: a target, also on another machine."""


@dataclass(frozen=True)
class TargetDescription:
    """The backtest of a target, as it is without a trial's changes.

    Attributes:
        strategy: The name of the strategy's class.
        source: The name of the data source's class; "" if the environment chooses it.
        parameters: All parameters that a trial can set, with their values. Those that JSON does not know are texts.
        start: The start of the backtest; None if Lumibot's default is used. Without a zone, it is New York time.
        end: The end of the backtest; likewise.
        is_forked: Whether trials are forked from a process that has run the script up to its backtest.
        reason: Why they are not, if they are not: each trial then runs the script from its start.
    """

    strategy: str
    source: str
    parameters: Mapping[str, Any]
    start: datetime | None
    end: datetime | None
    is_forked: bool
    reason: str = ""
