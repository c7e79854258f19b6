"""Environment variables that stay set for a whole process, even if an `.env.local` sets them differently."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import wraps
from typing import Any

from dotenv.main import DotEnv


def override_environment(settings: Mapping[str, str]) -> None:
    """Set environment variables, and set them again after each `.env` file that is loaded.

    When it is imported, Lumibot overwrites the environment with `.env.local` and reads some variables right afterwards.
    """
    load = DotEnv.set_as_environment_variables

    @wraps(load)
    def load_and_override(self: DotEnv, *args: Any, **kwargs: Any) -> bool:
        loaded = load(self, *args, **kwargs)
        os.environ.update(settings)
        return loaded

    setattr(DotEnv, load.__name__, load_and_override)
    os.environ.update(settings)
