"""Environment variables that stay set for a whole process, even if an `.env.local` sets them differently."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import wraps
from typing import Any

from dotenv.main import DotEnv


def hold_settings(settings: Mapping[str, str]) -> None:
    """Set environment variables, and set them again whenever a `.env` file has been loaded over them.

    Lumibot loads `.env.local` over the environment when it is imported, and reads some of it right afterwards.
    """
    load = DotEnv.set_as_environment_variables

    @wraps(load)
    def load_but_for_ours(self: DotEnv, *args: Any, **kwargs: Any) -> bool:
        loaded = load(self, *args, **kwargs)
        os.environ.update(settings)
        return loaded

    setattr(DotEnv, load.__name__, load_but_for_ours)
    os.environ.update(settings)
