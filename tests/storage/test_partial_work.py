"""Work that ends early says what it has changed."""

from __future__ import annotations

import pytest

from lumibot_duckdb.storage.errors import DiskFullError, SnapshotError, StoreBusyError, StoreWriteError
from lumibot_duckdb.storage.partial_work import partial_work

MERGED = "merged 3 of 8 series: merge again for the rest"


def end_early(error: BaseException, outcome: str) -> None:
    with partial_work("nothing was merged") as work:
        work.outcome = outcome
        raise error


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (KeyboardInterrupt(), "nothing was merged", MERGED),
        (StoreBusyError("it is busy."), "it is busy.", f"it is busy. M{MERGED[1:]}"),
        (StoreWriteError("the disk failed"), "the disk failed", f"the disk failed. M{MERGED[1:]}"),
        (
            DiskFullError("the disk is full, and nothing was stored. Free some", cause="the disk is full"),
            "the disk is full, and nothing was stored. Free some",
            f"the disk is full. M{MERGED[1:]}, once there is space",
        ),
        (SnapshotError("a snapshot needs it"), "a snapshot needs it", "a snapshot needs it"),
    ],
)
def test_errors_say_what_is_done(error: BaseException, before: str, after: str) -> None:
    for outcome, expected in (("", before), (MERGED, after)):
        with pytest.raises(type(error)) as raised:
            end_early(error, outcome)
        assert str(raised.value) == expected


def test_the_outer_work_says_what_the_whole_has_done() -> None:
    def merge_and_compact() -> None:
        with partial_work("nothing was merged") as work:
            work.outcome = MERGED
            end_early(KeyboardInterrupt(), "the store is compacted")

    with pytest.raises(KeyboardInterrupt, match=f"^{MERGED}$"):
        merge_and_compact()
