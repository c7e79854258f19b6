"""quantstats-lumi, which finds out who calls it at a hundredth of the usual cost."""

from __future__ import annotations

import inspect
import sys
from inspect import FrameInfo
from traceback import walk_stack
from typing import Any

from quantstats_lumi import stats, utils

__all__ = ["stats"]


class _Inspect:
    """The module `inspect`, whose stack has no lines of source code.

    quantstats reads the name of the function that prepares returns from the stack. To find the lines of each frame,
    Python reads the paths of all modules, which takes longer than the statistics.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    @staticmethod
    def stack() -> list[FrameInfo]:
        """Return the frames from the caller's on."""
        frames = [(frame, line, frame.f_code) for frame, line in walk_stack(sys._getframe(1))]
        return [FrameInfo(frame, code.co_filename, line, code.co_name, None, None) for frame, line, code in frames]


if getattr(utils, "inspect", None) is inspect:
    utils.inspect = _Inspect()
