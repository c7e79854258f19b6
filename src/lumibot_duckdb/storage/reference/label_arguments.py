"""What callers pass as labels: assets with a name and a value, mappings, and tables."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from math import isfinite
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias

from lumibot_duckdb.storage.api import AssetKey, AssetLike
from lumibot_duckdb.storage.errors import InvalidRecordError
from lumibot_duckdb.storage.identity import asset_of_published_name
from lumibot_duckdb.storage.reference.label_changes import LabelEdit
from lumibot_duckdb.storage.reference.labels import checked_name, checked_value

if TYPE_CHECKING:
    import pandas as pd

_SYMBOL_COLUMNS = ("symbol", "ticker", "asset_symbol")
_IDENTITY_COLUMNS = (*_SYMBOL_COLUMNS, "asset_type", "exchange")
_LONG = {"name", "value"}
_Wanted: TypeAlias = "tuple[AssetLike, str, tuple[str, ...]]"
"""The values that a label of an asset should have."""


def wanted_labels(symbols: Any, name: str | None, value: Any, *, add: bool) -> list[LabelEdit]:
    """Return the edits that set labels; with `add`, further values of labels. Raises `InvalidRecordError`."""
    kept = () if add else None
    try:
        return [LabelEdit(asset, of_name, values, kept) for asset, of_name, values in _wanted(symbols, name, value)]
    except ValueError as error:
        raise InvalidRecordError(str(error)) from None


def removed_labels(symbols: AssetLike | Iterable[AssetLike], name: str | None, value: Any) -> list[LabelEdit]:
    """Return the edits that remove labels, or values of labels. Raises `InvalidRecordError`."""
    if name is None and value is not None:
        raise InvalidRecordError(f"which label is the value {value!r} of? Pass its name, too")
    try:
        wanted, gone = None if name is None else checked_name(name), None if value is None else _values(value)
    except ValueError as error:
        raise InvalidRecordError(str(error)) from None
    return [LabelEdit(asset, wanted, removed=gone) for asset in _assets(symbols)]


def _values(value: Any) -> tuple[str, ...]:
    """Return a value or several of them as texts, sorted, each once. Raises ValueError."""
    if isinstance(value, (str, Real)):
        return (_value(value),)
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise ValueError(f"{value!r} cannot be the value of a label: pass a text, or a list of texts")
    found = tuple(sorted({_value(each) for each in value}))
    if not found:
        raise ValueError("a label needs a value: to remove one, use unlabel")
    return found


def _assets(symbols: AssetLike | Iterable[AssetLike]) -> list[AssetLike]:
    """Return the assets that a caller means. A tuple is a pair, as for all methods of the storage."""
    if isinstance(symbols, (str, tuple)) or not isinstance(symbols, Iterable):
        return [symbols]
    return list(symbols)


def _wanted(symbols: Any, name: str | None, value: Any) -> Iterator[_Wanted]:
    is_table = hasattr(symbols, "columns")
    if (is_table or hasattr(symbols, "items")) and value is not None:
        raise ValueError("a mapping or a table has its own values: leave out value")
    if is_table:
        if name is not None:
            raise ValueError("a table names its labels: leave out name")
        yield from _of_table(symbols if hasattr(symbols, "iloc") else symbols.to_pandas())
        return
    if not hasattr(symbols, "items"):
        if name is None or value is None:
            raise ValueError('pass the name of the label and its value, such as label("AAPL", "sector", "Technology")')
        for asset in _assets(symbols):
            yield (asset, checked_name(name), _values(value))
        return
    name = getattr(symbols, "name", None) if name is None else name
    for asset, of_asset in symbols.items():
        if isinstance(of_asset, Mapping):
            if name is not None:
                raise ValueError(f"{asset!r} has a mapping of names to values: leave out name, which is {name!r}")
            for each, values in of_asset.items():
                yield (asset, checked_name(each), _values(values))
        elif name is None:
            raise ValueError(
                f"{asset!r} has the value {of_asset!r}, but which label is it of? Pass its name, as in "
                'label({"AAPL": "Technology"}, "sector")'
            )
        elif not _is_missing(of_asset):
            yield (asset, checked_name(name), _values(of_asset))


def _of_table(table: pd.DataFrame) -> Iterator[_Wanted]:
    """Yield the labels of a table with the columns `name` and `value`, or with a column for each label."""
    columns = [str(column).strip().casefold() for column in table.columns]
    if len(set(columns)) < len(columns):
        raise ValueError(f"two columns of the table have the same name: {', '.join(sorted(columns))}")
    frame = table.set_axis(columns, axis=1)
    assets = _assets_in(frame)
    further = [column for column in columns if column not in _IDENTITY_COLUMNS]
    if not further:
        raise ValueError("the table has no labels: it needs a column for each, such as sector, or name and value")
    with_values = ["value"] if set(further) == _LONG else further
    if len(frame) and all(_is_missing(cell) for column in with_values for cell in frame[column]):
        raise ValueError(f"the table has no values: all cells of {', '.join(with_values)} are empty")
    if set(further) == _LONG:
        for asset, name, value in zip(assets, frame["name"], frame["value"], strict=True):
            if not _is_missing(value):
                yield (asset, checked_name(name), (_value(value),))
        return
    names = [checked_name(column) for column in further]
    known: dict[tuple[Hashable, str], str] = {}
    for asset, *cells in zip(assets, *(frame[column] for column in further), strict=True):
        for name, cell in zip(names, cells, strict=True):
            if _is_missing(cell):
                continue
            value = _value(cell)
            which = (asset.strip().upper() if isinstance(asset, str) else asset, name)
            if known.setdefault(which, value) != value:
                raise ValueError(
                    f"{asset!r} has two values of {name}, {known[which]!r} and {value!r}. If it has both, write a "
                    "table with the columns symbol, name and value"
                )
            yield (asset, name, (value,))


def _assets_in(frame: pd.DataFrame) -> list[Any]:
    """Return the assets of the rows of a table: of a column of symbols, else of the index."""
    there = [column for column in _SYMBOL_COLUMNS if column in frame]
    if len(there) > 1:
        raise ValueError(f"the table has the columns {' and '.join(there)}: keep one of them")
    if not there and frame.index.dtype.kind in "iuf":
        raise ValueError(
            f"the table has no column of symbols: call one {' or '.join(_SYMBOL_COLUMNS)}; it has "
            f"{', '.join(frame.columns)}"
        )
    if there and len(frame) and frame.index.dtype.kind not in "iu":
        raise ValueError(
            f"the table has a column {there[0]} and an index, which begins with {frame.index[0]!r}: if the column has "
            "the symbols, pass table.reset_index(drop=True). pandas.read_csv makes such an index, and puts all values "
            "into the wrong columns, if lines have more fields than the header"
        )
    symbols = list(frame[there[0]] if there else frame.index)
    for place, symbol in enumerate(symbols):
        if _is_missing(symbol):
            raise ValueError(f"row {place + 1} of the table has no symbol")
    if "asset_type" not in frame:
        return symbols
    exchanges = frame["exchange"] if "exchange" in frame else [""] * len(symbols)
    rows = zip(symbols, frame["asset_type"], exchanges, strict=True)
    return [_asset(*(("" if _is_missing(part) else str(part)) for part in row)) for row in rows]


def _asset(name: str, asset_type: str, exchange: str) -> AssetKey | str:
    return asset_of_published_name(name.strip(), asset_type.strip(), exchange.strip()) if asset_type.strip() else name


def _value(value: Any) -> str:
    """Return a value as text. Numbers, as of an industry's code, are texts without a needless decimal point."""
    is_number = isinstance(value, Real) and isfinite(value) and value is not True and value is not False
    if not is_number:
        return checked_value(value)
    return str(int(value)) if isinstance(value, Integral) else f"{float(value):.15g}"


def _is_missing(value: Any) -> bool:
    """Return whether a cell is empty: None, NaN, NA, or blank."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA has no truth; a list of values is none
        return type(value).__name__ == "NAType"
