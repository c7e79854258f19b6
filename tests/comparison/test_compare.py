"""`lumibot-duckdb compare` on an unmodified script: two processes, one verdict."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from comparison.ground import SCRIPT, Answer, Ground, compare
from lumibot_duckdb.comparison.outcome import read_outcome

pytestmark = pytest.mark.xdist_group("compare")  # what they share is made once


@pytest.fixture(scope="module")
def first(ground: Ground) -> tuple[Answer, Path, Path]:
    """Compare once on empty caches; give what was printed, the report and the folder with all that was kept."""
    report, kept = ground.folder / "report.html", ground.folder / "kept"
    script = ground.script("switching.py", SCRIPT)
    return compare("--html", report, "--keep", kept, script), report, kept


def test_an_unmodified_script_gives_the_same_on_both_storages(first: tuple[Answer, Path, Path]) -> None:
    answer, _, _ = first
    assert answer.code == 0, answer
    said = re.search(
        r"^identical: (\d+) fills with fees of ([\d.]+), (\d+) portfolio values, (\d+) frames, (\d+) prices, quotes",
        answer.out,
        re.MULTILINE,
    )
    assert said is not None, answer.out
    fills, fees, values, frames, others = (float(number) for number in said.groups())
    assert fills >= 4
    assert fees == fills
    assert min(values, frames, others) > 20
    assert "MB of peak memory" in answer.out
    assert "requests to providers" in answer.out
    assert "Sizes on disk" not in answer.out, "both have what the script asked for"


def test_what_a_side_costs_is_measured(first: tuple[Answer, Path, Path]) -> None:
    _, _, kept = first
    for side in ("lumibot-1", "duckdb-1"):
        costs = read_outcome(kept / side / "result.json").costs
        assert sum(costs.phases.values()) == pytest.approx(costs.seconds)
        assert all(seconds >= 0 for seconds in costs.phases.values())
        assert costs.cpu_seconds > 0
        assert set(costs.requests) == {"127.0.0.1"}
        assert costs.disk_before == 0 < costs.disk_after
        assert len(costs.memory) > 5
        # The curve is noted now and then, so the peak may lie between two of its points.
        assert 50e6 < max(held for _, held in costs.memory) <= costs.peak_bytes * 1.02


def test_lumibots_files_go_to_the_sides_and_no_key_to_any_file(
    first: tuple[Answer, Path, Path], ground: Ground
) -> None:
    from sources.polygon.server import KEY

    _, report, kept = first
    assert not (Path.cwd() / "logs").exists()
    assert list((kept / "lumibot-1" / "logs").glob("*_stats.csv"))
    assert list((kept / "duckdb-1" / "logs").glob("*_stats.csv"))
    for file in [report, *(file for file in kept.rglob("*") if file.is_file())]:
        assert KEY.encode() not in file.read_bytes(), file


@pytest.mark.long
def test_from_the_store_alone(
    first: tuple[Answer, Path, Path], ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server is named any more, and loopback is all that could be reached."""
    monkeypatch.delenv("TEST_POLYGON")
    answer = compare("--from-cache", ground.folder / "switching.py")
    assert answer.code == 0, answer
    assert "to fill its cache" in answer.out
    assert re.search(r"requests to providers\s+0\s+0\b", answer.out), answer.out
    assert "identical: " in answer.out
    assert "\n  Sizes on disk: Lumibot's cache started empty and holds only what this script requested" in answer.out


@pytest.fixture(scope="module")
def perturbed(first: tuple[Answer, Path, Path], ground: Ground) -> tuple[Answer, float, Path]:
    """Compare when the close of one minute of QQQ is a cent higher in the store than it came from Polygon."""
    with duckdb.connect(str(ground.store)) as connection:
        ((version, before),) = connection.execute(
            "SELECT b.version_id, b.close FROM bar b JOIN series s ON s.current_version = b.version_id "
            "JOIN asset a USING (asset_id) WHERE a.symbol = 'QQQ' AND s.timeframe = 'minute' "
            "AND b.ts = TIMESTAMP '2023-03-07 15:19:00'"
        ).fetchall()
        connection.execute(
            "UPDATE bar SET close = close + 0.01 WHERE version_id = ? AND ts = TIMESTAMP '2023-03-07 15:19:00'",
            [version],
        )
    report = ground.folder / "perturbed.html"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LUMIBOT_CACHE_FOLDER", str(ground.folder / "another cache"))
        return compare("--html", report, ground.folder / "switching.py"), before, report


def test_one_other_bar_is_found_and_named(perturbed: tuple[Answer, float, Path]) -> None:
    answer, before, _ = perturbed
    assert answer.code == 1, answer
    shown = answer.out[answer.out.index("The first difference:") :].splitlines()
    assert shown[1:5] == [
        "  Switching, 2023-03-07T10:30:00-05:00, QQQ",
        "  get_historical_prices(QQQ, 30, minute), bar 2023-03-07 10:19:00-05:00, close",
        f"    Lumibot         {before!r}",
        f"    lumibot-duckdb  {before + 0.01!r}",
    ]
    assert re.search(r"^NOT identical\. Different: \d+ frames?", answer.out, re.MULTILINE)


def test_a_difference_is_distinguished_from_one_of_caches(perturbed: tuple[Answer, float, Path]) -> None:
    """On a cache that is filled from the store, Lumibot sees the other bar as well."""
    assert "either your cache has different bars than the store" in perturbed[0].out
