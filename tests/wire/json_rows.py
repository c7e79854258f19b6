"""Bars as JSON objects, written column by column: several times faster than object by object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def objects_as_json(columns: Mapping[str, list[Any]]) -> list[str]:
    """Return each row as a JSON object. No text of a column may contain a comma followed by a space."""
    if not any(columns.values()):
        return []
    template = ", ".join(f"{json.dumps(name)}: %s" for name in columns)
    texts = [json.dumps(values)[1:-1].split(", ") for values in columns.values()]
    return [f"{{{template}}}" % row for row in zip(*texts, strict=True)]
