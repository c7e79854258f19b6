"""`lumibot-duckdb restore`: replaces the store by a backup."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.confirmation import add_yes, confirm
from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import count, printable, size
from lumibot_duckdb.cli.series_json import key_as_json
from lumibot_duckdb.cli.store import open_store
from lumibot_duckdb.progress import Progress

if TYPE_CHECKING:
    from lumibot_duckdb.storage.upkeep.losses import Loss
    from lumibot_duckdb.storage.upkeep.restoration import RestoreReport

_DESCRIPTION = """\
Replace the store by FILE, a backup that `backup` made, of this or an older release.

FILE is copied and verified first. What the store has and FILE lacks is listed, and nothing is replaced before you
agree. Backtests and other processes that use the store notice: they continue with the restored one, or end with an
error if they need bars that it lacks. If one has the store open for too long, the command names it and gives up.

The store that is replaced stays beside the new one, with the downloads that wait in its spool, as
NAME.replaced-TIME.duckdb. Restore that file to undo the command, or delete it to free its space.
"""
_EXAMPLES = """\
examples:
  lumibot-duckdb restore /mnt/disk/bars.duckdb --dry-run
  lumibot-duckdb restore /mnt/disk/bars.duckdb --yes

exit codes: 0 success; 1 the answer was no; 2 wrong usage; 3 FILE is not a sound backup, or the store cannot be used.
"""
_LISTED = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("file", metavar="FILE", type=Path, help="the backup, which is not changed")
    parser.add_argument(
        "--drop-replaced", action="store_true", help="delete the store that is replaced, and what waits in its spool"
    )
    add_yes(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    storage = open_store(arguments.store)
    with ExitStack() as shown:
        progress = shown.enter_context(Progress("Copying the backup"))

        def on_bytes(done: int, total: int) -> None:
            progress.update(done, total)
            if done == total:
                progress.text, progress.total = "Verifying the backup", None

        def agreed(report: RestoreReport) -> bool:
            shown.close()
            _print_found(report, arguments)
            if report.replaces:
                confirm(_question(report, storage.path), arguments)
            return True

        try:
            report = storage.restore(
                arguments.file,
                dry_run=arguments.dry_run,
                confirm=agreed,
                keep_replaced=not arguments.drop_replaced,
                on_bytes=on_bytes,
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        finally:
            storage.close()
    if arguments.dry_run:
        _print_found(report, arguments)
    print(json.dumps(_as_json(report), indent=2) if arguments.json else _summary(report, storage.path))
    return 0


def _question(report: RestoreReport, store: Path) -> str:
    if report.not_compared:
        return f"Replace {store}?"
    return f"Replace {store}? {_amount(report.losses)} would be lost." if report.losses else f"Replace {store}?"


def _print_found(report: RestoreReport, arguments: argparse.Namespace) -> None:
    if not arguments.json:
        print("\n".join(_found(report, arguments)), flush=True)


def _found(report: RestoreReport, arguments: argparse.Namespace) -> list[str]:
    """Return what there is to know before the store is replaced."""
    amount = f"{count(report.series, 'series', 'series')} with {count(report.rows, 'bar')} of all versions"
    lines = [f"{printable(str(arguments.file))} is sound: {amount}, {size(report.bytes)}."]
    if report.not_compared:
        lines.append(f"The store cannot be compared with it: {printable(report.not_compared)}")
    elif report.losses:
        lines.append("It lacks what the store has:")
        lines += [f"  {_described(loss)}" for loss in report.losses[:_LISTED]]
        if len(report.losses) > _LISTED:
            lines.append(f"  and bars of {count(len(report.losses) - _LISTED, 'more series', 'more series')}")
    elif report.replaces:
        lines.append("It has every current bar of the store.")
    if report.replaces and report.spooled.writes:
        waiting = f"{count(report.spooled.writes, 'download')} with {count(report.spooled.bars, 'bar')}"
        fate = "deleted with" if arguments.drop_replaced else "kept beside"
        lines.append(f"In the spool, {waiting} wait, which are {fate} the store that is replaced.")
    return lines


def _described(loss: Loss) -> str:
    label = printable(loss.key.label())
    if loss.whole:
        return f"{label}: the whole series, {count(loss.missing, 'bar')}"
    parts = []
    if loss.missing:
        parts.append(count(loss.missing, "bar"))
    if loss.different:
        parts.append(f"other values of {count(loss.different, 'bar')}")
    return f"{label}: {', '.join(parts)}"


def _amount(losses: tuple[Loss, ...]) -> str:
    bars = sum(loss.missing + loss.different for loss in losses)
    return f"{count(bars, 'bar')} of {count(len(losses), 'series', 'series')}"


def _summary(report: RestoreReport, store: Path) -> str:
    if not report.restored:
        return f"{printable(str(store))} would be {'replaced' if report.replaces else 'created'}."
    lines = [f"{printable(str(store))} is restored."]
    if report.kept_as:
        lines.append(f"The store that it replaced is kept as {printable(Path(report.kept_as).name)}.")
    return "\n".join(lines)


def _as_json(report: RestoreReport) -> dict[str, object]:
    losses = [
        {**key_as_json(loss.key), "whole": loss.whole, "missing": loss.missing, "different": loss.different}
        for loss in report.losses
    ]
    return {
        "restored": report.restored,
        "bytes": report.bytes,
        "series": report.series,
        "rows": report.rows,
        "replaces": report.replaces,
        "losses": losses,
        "not_compared": report.not_compared,
        "spooled": asdict(report.spooled),
        "kept_as": report.kept_as,
    }
