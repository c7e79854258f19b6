"""Removes keys from text: known ones in every usual notation, and values that follow a name such as `apiKey=`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from html import escape
from pathlib import Path

HIDDEN = "[hidden]"
_MIN_LENGTH = 6
_ALWAYS_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_USUALLY_SECRET = re.compile(r"KEY|TOKEN", re.IGNORECASE)
# "MAX_TOKENS=100000" and "KEY_TYPE=default" hold no key, and their values occur in ordinary text.
_NOT_SECRET = re.compile(r"[+-]?\d{1,9}(\.\d{0,9})?|[a-z]{1,10}", re.IGNORECASE)

# The name of a key, then its value: "apiKey=abc", "'api_secret': 'abc'", "APCA-API-KEY-ID: abc".
_IS = r"""\\?["']?\s*[=:]\s*(?:b?\\?["'])?"""
_NAMED = re.compile(
    rf"""((?:(?:api|access|private)[_-]?key(?:[_-]?id)?|secret(?:[_-]?access)?(?:[_-]?key)?|token|passw(?:or)?d){_IS})"""
    r"""((?<=["'])[^"'\n]{4,}?(?=\\?["'\n]|$)|[^\s"'&,;)}\]]{4,})""",
    re.IGNORECASE,
)
# The header, whose value may have several words: "Authorization: Bearer abc".
_AUTHORIZATION = re.compile(
    rf"""(authorization{_IS}(?:(?:basic|bearer|digest|token)\s+)?)([^"'\n,}}]{{4,}})""", re.IGNORECASE
)
_UNCHANGED = re.compile(r"[A-Za-z0-9_.-]+")
"""A key that every notation leaves unchanged."""
_PERCENT = "%(?:25)*"
"""The percent sign of a URL, also of one that is encoded more than once."""
_ESCAPE = r"\\+"
"""The backslash of an escape, also in a text within a text."""
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def redacted(text: str, secrets: frozenset[str] = frozenset()) -> str:
    """Return a text without the secrets, and without the values that follow a name such as `apiKey=`."""
    text = without(text, secrets)
    for named in (_AUTHORIZATION, _NAMED):
        text = named.sub(rf"\g<1>{HIDDEN}", text)
    return text


def without(text: str, secrets: frozenset[str]) -> str:
    """Return a text without the secrets, also if they are encoded for a URL, JSON or HTML, or are part of a `repr`."""
    for secret, notation in _notations(secrets):
        text = text.replace(secret, HIDDEN) if notation is None else notation.sub(HIDDEN, text)
    return text


@cache
def _notations(secrets: frozenset[str]) -> list[tuple[str, re.Pattern[str] | None]]:
    """Return the secrets, longest first, each with a pattern that matches it in any notation, if they differ."""
    longest_first = sorted(secrets, key=len, reverse=True)
    return [(secret, None if _UNCHANGED.fullmatch(secret) else _notation(secret)) for secret in longest_first]


def _notation(secret: str) -> re.Pattern[str]:
    return re.compile("".join(f"(?:{'|'.join(_spellings(character))})" for character in secret))


def _spellings(character: str) -> Iterable[str]:
    """Yield patterns for a character: escaped in JSON, HTML, Python or a URL, and unescaped."""
    data = character.encode(errors="surrogateescape")
    units = character.encode("utf-16-be", errors="surrogatepass")
    if _UNCHANGED.fullmatch(character):
        yield re.escape(character)
        return
    yield "".join(rf"{_ESCAPE}u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))
    yield "".join(rf"{_ESCAPE}x(?i:{byte:02x})" for byte in data)
    yield "".join(rf"{_PERCENT}(?i:{byte:02x})" for byte in data)
    if ord(character) < 0x100:
        yield rf"{_ESCAPE}x(?i:{ord(character):02x})"
    if ord(character) >= 0x10000:
        yield rf"{_ESCAPE}U(?i:{ord(character):08x})"
    if character in _LETTERS:
        yield f"{_ESCAPE}{_LETTERS[character]}"
    if (entity := escape(character)) != character:
        yield re.escape(entity)
        yield f"&#{ord(character)};"
    if character == " ":
        yield r"\+"
    yield rf"\\*{re.escape(character)}" if character != "\\" else _ESCAPE


def known_secrets(script: Path, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the keys in the environment and in the `.env` files that Lumibot loads for a script."""
    from dotenv import dotenv_values

    named: list[tuple[str, str | None]] = list(environment.items())
    for folder in {script.resolve().parent, *script.resolve().parents, Path.cwd(), *Path.cwd().parents}:
        for file in (folder / ".env", folder / ".env.local"):
            with suppress(OSError, UnicodeDecodeError):  # the script cannot read such a file either
                if file.is_file():
                    named += dotenv_values(file, verbose=False).items()
    return frozenset(value for name, value in named if value and is_secret(name, value))


def is_secret(name: str, value: str) -> bool:
    """Return whether a setting holds a key, judging by its name and the form of its value."""
    if len(value) < _MIN_LENGTH:
        return False
    if _ALWAYS_SECRET.search(name):
        return True
    return _USUALLY_SECRET.search(name) is not None and _NOT_SECRET.fullmatch(value) is None


def hide_in_names(folder: Path, secrets: frozenset[str]) -> None:
    """Rename the files and folders in a folder whose names have secrets in them."""
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*files, *folders):
            hidden = without(name, secrets)
            if hidden != name:
                Path(parent, name).rename(_free_path(Path(parent, hidden)))


def _free_path(path: Path) -> Path:
    """Return a path, or one with a number in its name if the path exists."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem} {number}{path.suffix}")
    return free
