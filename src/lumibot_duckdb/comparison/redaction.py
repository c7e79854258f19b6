"""Removes keys from text: known ones, and values that follow a name such as `apiKey=`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
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


def redacted(text: str, secrets: frozenset[str] = frozenset()) -> str:
    """Return a text without the secrets, and without the values that follow a name such as `apiKey=`."""
    text = without(text, secrets)
    for named in (_AUTHORIZATION, _NAMED):
        text = named.sub(rf"\g<1>{HIDDEN}", text)
    return text


def without(text: str, secrets: frozenset[str]) -> str:
    """Return a text without the secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


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
