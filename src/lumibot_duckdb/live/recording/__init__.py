"""Records live bars: a bounded queue, and one thread that writes them to the store in batches."""

from lumibot_duckdb.live.recording.recorder import Recorder, RecorderCounts

__all__ = ["Recorder", "RecorderCounts"]
