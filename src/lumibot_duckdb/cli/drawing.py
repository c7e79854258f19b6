"""Charts that commands write: a page or a picture, by the name of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lumibot_duckdb.cli.errors import CommandError
from lumibot_duckdb.cli.layout import printable
from lumibot_duckdb.cli.page_file import check_page_file, check_png_file, write_file, write_page_file

if TYPE_CHECKING:
    from lumibot_duckdb.charts.chart import Chart

_PAGES, _PICTURES = (".html", ".htm"), (".png",)


def is_drawing(file: Path) -> bool:
    """Return whether the name is that of a page or a picture."""
    return file.suffix.lower() in _PAGES + _PICTURES


def check_drawing(file: Path) -> None:
    """Raise `CommandError` if the name is no page or picture, or the file could not be written at the end."""
    if not is_drawing(file):
        raise CommandError(f"{file}: name a file that ends in .html or .png")
    (check_png_file if _is_picture(file) else check_page_file)(file)


def write_drawing(file: Path, make: Callable[[], Chart]) -> None:
    """Make a chart and write it. Raises `CommandError`, and `MissingLibraryError` before it is made."""
    if _is_picture(file):
        from lumibot_duckdb.charts.picture import chart_png, require_kaleido

        require_kaleido()
        write_file(file, chart_png(make()))
    else:
        from lumibot_duckdb.charts.page import chart_page

        write_page_file(file, chart_page(make()))


def show_drawing(file: Path, what: str, in_browser: bool) -> None:
    """Print where the chart is, and open it if that is wanted."""
    print(f"{what} is in {printable(str(file))}.")
    if in_browser:
        import webbrowser

        webbrowser.open(file.resolve().as_uri())


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in _PICTURES
