"""The folders of sweeps that were killed are removed by the next one, and no other folder is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lumibot_duckdb.sweeps.trials.work_folder import WorkFolder

SLEEPING = """
import time
from lumibot_duckdb.sweeps.trials.work_folder import WorkFolder
print(WorkFolder().path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_is_private_and_removed_at_the_end(temporary: Path) -> None:
    folder = WorkFolder()
    assert folder.path.stat().st_mode & 0o077 == 0
    (folder.path / "output.txt").write_text("x")
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_only_what_a_killed_process_left_is_removed(temporary: Path) -> None:
    own = WorkFolder()
    others = [temporary / "lumibot-duckdb-sweep-of-an-older-release", temporary / "elsewhere"]
    for folder in others:
        folder.mkdir()
    (others[1] / "in-use").write_text("")
    (temporary / "lumibot-duckdb-sweep-link").symlink_to(others[1])
    (temporary / "lumibot-duckdb-sweep-file").write_text("")
    there = set(temporary.iterdir())
    with subprocess.Popen([sys.executable, "-c", SLEEPING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        (left / "trial-1").mkdir()
        (left / "trial-1" / "output.txt").write_text("x")
        second = WorkFolder()
        assert left.exists(), "its process still runs"
        process.kill()
        process.wait()
        third = WorkFolder()
    assert set(temporary.iterdir()) == there | {second.path, third.path}
    assert own.path.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder to another user")
def test_a_folder_of_another_user_stays(temporary: Path) -> None:
    folder = WorkFolder()
    folder._lock.release()
    os.chown(folder.path, 65_534, 65_534)
    WorkFolder()
    assert folder.path.exists()
