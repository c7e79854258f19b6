"""What a backtest shows of its downloads, and when it shows nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lumibot.entities import Asset

from lumibot_duckdb import BarRequest, BarResponse, DuckDBDataStorage
from lumibot_duckdb.sources.shared.progress import SHOW_PROGRESS_BAR, is_wanted
from lumibot_duckdb.storage.errors import InvalidBarsError
from parity.series import SESSIONS, walk
from sources.custom.providers import FramesProvider
from sources.custom.test_source import bars_at
from sources.custom.test_source import source as quiet_source
from terminals import terminal

NAMES = ("AAA", "BBB", "CCC")
NOON = "2024-03-11 12:00"


class SlowProvider(FramesProvider):
    """Takes a moment for each answer, so that the line is drawn."""

    def __init__(self) -> None:
        super().__init__({(name, "minute"): walk(number, SESSIONS) for number, name in enumerate(NAMES)})

    def bars(self, request: BarRequest) -> Iterator[BarResponse]:
        for response in super().bars(request):
            time.sleep(0.01)
            yield response


def source(provider: FramesProvider, store: Path, *, shown: bool = True) -> Any:
    made = quiet_source(provider, store)
    assert not made.shows_progress
    made.shows_progress = shown
    return made


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHOW_PROGRESS_BAR, raising=False)


def test_a_download_shows_how_much_has_arrived_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = source(SlowProvider(), tmp_path)
    with terminal(monkeypatch) as screen:
        bars_at(made, NOON)
    assert any(line.startswith("Downloading AAA minute from SlowProvider  █") for line in screen.drawn)
    assert screen.percentages == sorted(screen.percentages)
    assert len(set(screen.percentages)) > 2
    assert screen.left == ""


def test_of_several_assets_the_line_says_which_one_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(SlowProvider(), tmp_path)
    with terminal(monkeypatch) as screen:
        bars_at(made, NOON)
        found = made.get_bars([Asset(name) for name in NAMES], 5, timestep="minute")
        assert [len(found[Asset(name)].df) for name in NAMES] == [5, 5, 5]
    for number, name in enumerate(NAMES[1:], 2):
        assert any(line.startswith(f"{number} of 3: Downloading {name} minute") for line in screen.drawn)
    assert screen.left == ""
    with terminal(monkeypatch) as screen:
        made.get_bars([Asset(name) for name in NAMES], 5, timestep="minute")
    assert screen.written == ""


@pytest.mark.parametrize("where", ["provider", "store"])
def test_an_error_leaves_the_terminal_clean(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = SlowProvider()
    made = source(provider, tmp_path)

    def refuse(*arguments: Any, **options: Any) -> None:
        time.sleep(0.05)
        raise InvalidBarsError("refused")

    if where == "store":
        monkeypatch.setattr(DuckDBDataStorage, "store_ohlcv_data", refuse)
    else:
        provider.fails_after = 3
    with terminal(monkeypatch) as screen:
        try:
            bars_at(made, NOON)
        except Exception:  # while its traceback still holds every frame
            left = screen.left
        else:
            pytest.fail("it has not failed")
        time.sleep(0.03)
        drawn = len(screen.drawn)
        time.sleep(0.03)
        assert len(screen.drawn) == drawn > 0
    assert screen.left == ""
    assert "\n" not in left


@pytest.mark.parametrize(("value", "shown"), [("false", False), ("0", False), ("true", True), (" True", True)])
def test_lumibots_switch_turns_it_off(value: str, shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHOW_PROGRESS_BAR, value)
    assert is_wanted() is shown
    made = source(SlowProvider(), tmp_path)
    with terminal(monkeypatch) as screen:
        bars_at(made, NOON)
    assert bool(screen.drawn) is shown


def test_the_argument_of_a_source_turns_it_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = source(SlowProvider(), tmp_path, shown=False)
    with terminal(monkeypatch) as screen:
        bars_at(made, NOON)
    assert screen.written == ""


def test_a_file_gets_no_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bars_at(source(SlowProvider(), tmp_path), NOON)
    assert "\r" not in capfd.readouterr().err
