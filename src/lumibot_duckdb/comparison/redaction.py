"""Keeps keys out of what is shown of a script's output, as far as they can be known."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
# A name that says so, then its value: "apiKey=abc", "'api_secret': 'abc'", "Authorization: Bearer abc".
_NAMED = re.compile(
    r"""((?:api[_-]?key|api[_-]?secret|secret|token|password|authorization)["']?\s*[=:]\s*["']?(?:bearer\s+)?)"""
    r"""([^\s"'&,;)}\]]{4,})""",
    re.IGNORECASE,
)
_SHORTEST = 6


def redacted(text: str, secrets: frozenset[str] = frozenset()) -> str:
    """Return a text without the secrets, and without whatever stands after a name such as `apiKey=`."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _NAMED.sub(rf"\g<1>{HIDDEN}", text)


def known_secrets(script: Path, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the keys that a script finds in the environment, and in the `.env` files that Lumibot looks for."""
    from dotenv import dotenv_values

    named: dict[str, str | None] = dict(environment)
    for folder in {script.resolve().parent, *script.resolve().parents, Path.cwd(), *Path.cwd().parents}:
        for file in (folder / ".env", folder / ".env.local"):
            if file.is_file():
                named |= dotenv_values(file, verbose=False)
    return frozenset(
        value for name, value in named.items() if value and len(value) >= _SHORTEST and _SECRET_NAME.search(name)
    )
