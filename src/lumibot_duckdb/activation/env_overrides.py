"""Settings that hold for a whole process, whatever an `.env.local` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import wraps
from typing import Any

from dotenv.main import DotEnv


def hold_settings(settings: Mapping[str, str]) -> None:
    """Put settings in the environment, and again whenever a file of settings was loaded over it.

    Lumibot loads `.env.local` over the environment when it is imported, and reads some of it in the same breath.
    """
    load = DotEnv.set_as_environment_variables

    @wraps(load)
    def load_but_for_ours(self: DotEnv, *args: Any, **kwargs: Any) -> bool:
        loaded = load(self, *args, **kwargs)
        os.environ.update(settings)
        return loaded

    setattr(DotEnv, load.__name__, load_but_for_ours)
    os.environ.update(settings)
