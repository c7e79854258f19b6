"""The record of verified kinds of series beside the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from lumibot_duckdb.live.checking.verified import SeriesKind, Verification, VerifiedKinds
from lumibot_duckdb.storage.api import AssetKey, SeriesKey

SPY = SeriesKey(AssetKey("SPY"), "alpaca", "minute", "all")
BTC = SeriesKey(AssetKey("BTC", "crypto", "USDT", exchange="binance"), "ccxt", "minute")
FOUND = Verification(SeriesKind.of(SPY), datetime(2024, 3, 12, 21, tzinfo=timezone.utc), date(2024, 3, 12), 2, 780)


def test_a_verification_is_for_a_kind_of_series(tmp_path: Path) -> None:
    verified = VerifiedKinds(tmp_path / "lumibot.duckdb")
    assert not verified.has(SPY)
    verified.update([FOUND])
    assert VerifiedKinds(tmp_path / "lumibot.duckdb").verifications() == {FOUND.kind: FOUND}
    for other, is_verified in (
        (replace(SPY, asset=AssetKey("QQQ")), True),
        (replace(SPY, adjustment="split"), False),
        (replace(SPY, timeframe="day"), False),
        (replace(SPY, source="alpaca_live"), False),
        (replace(SPY, asset=AssetKey("SPY", "crypto", "USD")), False),
        (BTC, False),
    ):
        assert verified.has(other) == is_verified


def test_other_verifications_stay(tmp_path: Path) -> None:
    verified, other = (VerifiedKinds(tmp_path / "lumibot.duckdb") for _ in range(2))
    verified.update([FOUND])
    other.update([replace(FOUND, kind=SeriesKind.of(BTC))])
    assert verified.has(SPY)
    assert verified.has(BTC)
    verified.update([], [FOUND.kind])
    assert not other.has(SPY)
    assert other.has(BTC)
    assert [path.name for path in tmp_path.iterdir()] == ["lumibot.duckdb.live.json"]


def test_it_is_beside_the_real_store(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "elsewhere" / "real.duckdb")
    VerifiedKinds(tmp_path / "link.duckdb").update([FOUND])
    assert VerifiedKinds(tmp_path / "elsewhere" / "real.duckdb").has(SPY)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}x", b'[{"source": "alpaca"}]', b"[1]", b"\xff", b"null", b'[{"verified_at": 3}]'],
)
def test_a_damaged_file_verifies_nothing(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    verified = VerifiedKinds(tmp_path / "lumibot.duckdb")
    verified.path.write_bytes(content)
    assert not verified.has(SPY)
    assert not verified.has(SPY)
    assert caplog.text.count("run `lumibot-duckdb live check` again") == 1
    verified.update([FOUND])
    assert verified.has(SPY)


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    verified = VerifiedKinds(tmp_path / "lumibot.duckdb")
    verified.update([FOUND])
    verified.path.write_text(verified.path.read_text().replace("+00:00", ""))
    assert not verified.has(SPY)
