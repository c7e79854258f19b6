"""What values consist of: the state of objects, the content of arrays, and what the name of an asset does not tell."""

from __future__ import annotations

import copyreg
from collections.abc import Iterable
from hashlib import blake2b
from types import CellType, CodeType
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from lumibot.entities import Asset


def object_state(value: Any) -> Any:
    """Return what an object consists of, as it would be pickled, or else its attributes; None if nothing is known."""
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
    except Exception:  # it cannot be pickled, and its class may raise anything
        return _attributes(value) or _readable(value)
    if isinstance(reduced, str):
        return [reduced]
    constructor, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if constructor in (copyreg.__newobj__, copyreg.__newobj_ex__):  # type: ignore[attr-defined]
        arguments = arguments[1:]  # without the class
    elif constructor is not type(value):
        arguments = (constructor, *arguments)
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state = {**(state[0] or {}), **state[1]}  # with the values of slots
    if isinstance(state, dict):
        state = {name: each for name, each in state.items() if type(each) is not object}  # marks without a value
    parts = [list(each) for each in (arguments, items, pairs) if each is not None]
    contents = [each for each in parts if each]
    if not contents:
        return state
    return [*contents, state] if state else contents


def _attributes(value: Any) -> dict[str, Any]:
    slots = (name for kind in type(value).__mro__ for name in _slots(kind))
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots if hasattr(value, name)}}


def _slots(kind: type) -> Iterable[str]:
    names = vars(kind).get("__slots__", ())
    each = (names,) if isinstance(names, str) else names
    return [name for name in each if name not in ("__dict__", "__weakref__")]


def _readable(value: Any) -> list[str] | None:
    """Return the `repr` of an object, unless it has an address in it."""
    text = repr(value)
    return None if " at 0x" in text else [text]


def array_values(array: Any) -> tuple[str, Any]:
    """Return the dtype of a pandas array and its values."""
    if isinstance(array.dtype, pd.CategoricalDtype):
        return str(array.dtype), [array.dtype.categories, array.dtype.ordered, array.tolist()]
    if isinstance(array, pd.DatetimeIndex | pd.TimedeltaIndex):
        return str(array.dtype), array.asi8.tolist()
    return str(array.dtype), array.tolist()


def polars_values(series: pl.Series) -> tuple[str, Any]:
    """Return the dtype of a polars series and its values; times as integers, because Python's lack nanoseconds."""
    dtype = str(series.dtype)
    if isinstance(series.dtype, pl.Enum):
        return "Enum", [series.dtype.categories, series.to_list()]
    if isinstance(series.dtype, pl.List | pl.Array):
        return dtype, [None if each is None else polars_values(each) for each in series]
    if isinstance(series.dtype, pl.Struct):
        return dtype, [series.is_null().to_list(), *map(polars_values, series.struct.unnest().get_columns())]
    return dtype, (series.to_physical() if series.dtype.is_temporal() else series).to_list()


def arrow_values(array: Any) -> Any:
    """Return the values of an Arrow array; times as integers, because Python's lack nanoseconds."""
    if pa.types.is_temporal(array.type) and not pa.types.is_interval(array.type):
        return array.cast(pa.int64() if array.type.bit_width == 64 else pa.int32()).to_pylist()
    return array.to_pylist()


def cell_contents(cell: CellType) -> Any:
    """Return what a function has bound in a cell of its closure."""
    try:
        return cell.cell_contents
    except ValueError:
        return "(empty)"


def code_digest(code: CodeType) -> str:
    """Return a digest of what a function does, without where it is defined."""
    constants = [code_digest(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    parts = (code.co_code.hex(), *code.co_names, *code.co_varnames, *constants)
    return blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=8).hexdigest()


def asset_details(asset: Asset, kind: str) -> dict[str, Any]:
    """Return what neither an asset's name nor its type tells; None for what is as usual."""
    usual_multiplier = 100 if kind == "option" else 1
    more = {
        "multiplier": None if asset.multiplier == usual_multiplier else asset.multiplier,
        "leverage": None if asset.leverage == 1 else asset.leverage,
        "precision": asset.precision,
        "underlying_asset": asset.underlying_asset,
        "auto_expiry": asset.auto_expiry,
    }
    if kind not in ("option", "future"):
        more["expiration"] = asset.expiration
    if kind != "option":
        more |= {"strike": asset.strike or None, "right": asset.right}
    return more
