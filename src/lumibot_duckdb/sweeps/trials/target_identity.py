"""What identifies a target, so that a resumed sweep notices that it has changed."""

from __future__ import annotations

import hashlib
import inspect
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lumibot_duckdb.comparison.redaction import HIDDEN, is_secret, redacted
from lumibot_duckdb.sweeps.trials.target import ClassTarget, ScriptTarget, Target

_MOST_CHARACTERS = 200


def command_of(target: Target) -> str | None:
    """Return how the script of a target is run, without keys; None for a class."""
    if isinstance(target, ClassTarget):
        return None
    words = [*(["-m"] if target.is_module else []), target.script, *_without_keys(target.arguments)]
    return redacted(shlex.join(words), frozenset())


def digest_of(target: Target) -> str | None:
    """Return the SHA-256 of the script, or of the source of the class; None if neither can be read.

    What the script imports is not part of it.
    """
    try:
        content = _source_of(target)
    except (OSError, TypeError):
        return None
    return None if content is None else hashlib.sha256(content).hexdigest()


def arguments_of(target: Target) -> Mapping[str, str]:
    """Return the arguments of a class's backtest as texts without keys; of frames and other large objects, the type."""
    if isinstance(target, ScriptTarget):
        return {}
    texts = {name: _text(value) for name, value in target.arguments.items()}
    return {name: HIDDEN if is_secret(name, text) else redacted(text, frozenset()) for name, text in texts.items()}


def _source_of(target: Target) -> bytes | None:
    if isinstance(target, ClassTarget):
        return inspect.getsource(target.strategy).encode()
    from lumibot_duckdb.activation.script import file_of_module

    if target.is_module:
        file = file_of_module(target.script)
    else:
        file = (target.folder or Path()) / target.script
        file = file / "__main__.py" if file.is_dir() else file
    return file.read_bytes() if file is not None else None


def _without_keys(words: Sequence[str]) -> Iterator[str]:
    """Return the arguments of a script. A value that follows an option such as --api-key is hidden."""
    for option, word in zip(("", *words), words, strict=False):
        is_named = option.startswith("-") and "=" not in option
        yield HIDDEN if is_named and is_secret(option.lstrip("-").replace("-", "_"), word) else word


def _text(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    text = repr(value)
    is_plain = " object at 0x" not in text and "\n" not in text and len(text) <= _MOST_CHARACTERS
    return text if is_plain else type(value).__name__
