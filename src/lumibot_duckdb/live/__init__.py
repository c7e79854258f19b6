"""Live trading: records the bars that Lumibot's live sources return, and warms strategies up from the store.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lumibot_duckdb.live.activation import activate, deactivate
    from lumibot_duckdb.live.live_bars import LiveBars
    from lumibot_duckdb.live.recording.recorder import Recorder
    from lumibot_duckdb.live.replay.replay import Replay, replay_session
    from lumibot_duckdb.live.session.recording import SessionRecording

__all__ = ["LiveBars", "Recorder", "Replay", "SessionRecording", "activate", "deactivate", "replay_session"]

_MODULE_OF = {
    "activate": "activation",
    "deactivate": "activation",
    "LiveBars": "live_bars",
    "Recorder": "recording.recorder",
    "Replay": "replay.replay",
    "replay_session": "replay.replay",
    "SessionRecording": "session.recording",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
