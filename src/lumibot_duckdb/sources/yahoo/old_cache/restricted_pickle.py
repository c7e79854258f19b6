"""Reads a pickle as a description of objects, and builds none of them: nothing that a file names is imported or called.

A pickle is a small program. Those of Lumibot's Yahoo cache need few of its instructions and name few things; whatever
else a file wants is refused at the instruction that wants it. What was asked to be made is returned as `Described`, for
`pickled_frames` to make sense of.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any

from lumibot_duckdb.lumibot_contract import pickled_names
from lumibot_duckdb.sources.shared.old_cache.errors import RefusedFileError, UnreadableFileError

LARGEST = 32 * 2**20
"""Bytes. A stock's whole history of days takes one million."""

_MOST_INSTRUCTIONS = 200_000

KNOWN = frozenset(
    {
        pickled_names.YAHOO_DATA,
        "builtins.bytearray",
        "builtins.slice",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "dateutil.tz.tz.tzutc",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy._core.numeric._frombuffer",
        "pandas.StringDtype",
        pickled_names.UNPICKLE_ARRAY,
        pickled_names.UNPICKLE_BLOCK,
        *pickled_names.OFFSETS,
        pickled_names.UNPICKLE_TIMESTAMP,
        "pandas.arrays.ArrowStringArray",
        *pickled_names.DATETIME_ARRAY,
        *pickled_names.ZONED_DTYPE,
        *pickled_names.FRAME,
        *pickled_names.INDEX,
        pickled_names.NEW_INDEX,
        *pickled_names.DATETIME_INDEX,
        pickled_names.NEW_DATETIME_INDEX,
        pickled_names.BLOCK_MANAGER,
        "pyarrow.lib._restore_array",
        "pyarrow.lib.py_buffer",
        "pyarrow.lib.type_for_alias",
        "pytz._UTC",
        "pytz._p",
        "zoneinfo.ZoneInfo._unpickle",
    }
)
"""What a pickle may name: all that such a cache holds, by pandas 1.3 to 3.1, numpy 1 and 2."""


@dataclass(frozen=True)
class Named:
    """Something that a pickle names; it was not imported."""

    name: str


@dataclass(eq=False)
class Described:
    """What a pickle wants made: of what, from which arguments, and the states that it is given afterwards."""

    of: str
    arguments: tuple[Any, ...]
    states: list[Any] = field(default_factory=list)


_MARK = object()
_PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG1", "FLOAT", "BINFLOAT"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def described(pickle: bytes) -> Any:
    """Return what a pickle describes: plain values, lists, tuples, dicts with plain keys, `Named` and `Described`.

    Raises:
        RefusedFileError: it names something that such a cache never holds, or has an instruction that none needs.
        UnreadableFileError: it is no whole pickle.
    """
    if len(pickle) > LARGEST:
        raise UnreadableFileError(f"it is larger than such files are ({len(pickle):,} bytes)")
    machine = _Machine()
    try:
        for number, (instruction, argument, _) in enumerate(pickletools.genops(pickle)):
            if number > _MOST_INSTRUCTIONS:
                raise UnreadableFileError("it has more parts than such files have")
            if instruction.name == "STOP":
                return machine.result()
            machine.do(instruction.name, argument)
    except (RefusedFileError, UnreadableFileError):
        raise
    except Exception as error:  # whatever is wrong with it, it is no pickle of Lumibot's
        raise UnreadableFileError(f"it is no whole pickle ({type(error).__name__})") from None
    raise UnreadableFileError("it is cut short")


class _Machine:
    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        (value,) = self._stack
        return value

    def do(self, instruction: str, argument: Any) -> None:
        if instruction in _PLAIN:
            self._stack.append(argument)
        elif instruction in _CONSTANTS:
            self._stack.append(_CONSTANTS[instruction])
        elif instruction in _SHORT_TUPLES:
            self._stack.append(tuple(self._pop(_SHORT_TUPLES[instruction])))
        elif (way := getattr(self, f"_{instruction.lower()}", None)) is not None:
            way(argument)
        else:
            raise RefusedFileError(f"it has an instruction ({instruction}) that files of this kind do not need")

    def _pop(self, count: int) -> list[Any]:
        if count > len(self._stack):
            raise ValueError("nothing is there")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        if any(value is _MARK for value in taken):
            raise ValueError("a mark is in the way")
        return taken

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                taken = self._stack[place + 1 :]
                del self._stack[place:]
                return taken
        raise ValueError("there is no mark")

    # -- what instructions do, by their names in `pickletools` -----------------------------------------------

    def _proto(self, _: Any) -> None:
        pass

    _frame = _proto

    def _mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _binput(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    _long_binput = _put = _binput

    def _binget(self, place: int) -> None:
        self._stack.append(self._memo[place])

    _long_binget = _get = _binget

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _list(self, _: Any) -> None:
        self._stack.append(self._pop_to_mark())

    def _empty_list(self, _: Any) -> None:
        self._stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self._stack.append({})

    def _dict(self, _: Any) -> None:
        self._stack.append({})
        self._put_into_dict(self._pop_pairs_below_top())

    def _pop_pairs_below_top(self) -> list[Any]:
        made = self._stack.pop()
        pairs = self._pop_to_mark()
        self._stack.append(made)
        return pairs

    def _append(self, _: Any) -> None:
        self._put_into_list(self._pop(1))

    def _appends(self, _: Any) -> None:
        self._put_into_list(self._pop_to_mark())

    def _setitem(self, _: Any) -> None:
        self._put_into_dict(self._pop(2))

    def _setitems(self, _: Any) -> None:
        self._put_into_dict(self._pop_to_mark())

    def _put_into_list(self, values: list[Any]) -> None:
        into = self._stack[-1]
        if type(into) is not list:
            raise ValueError("this is no list")
        into.extend(values)

    def _put_into_dict(self, pairs: list[Any]) -> None:
        into = self._stack[-1]
        if type(into) is not dict or len(pairs) % 2:
            raise ValueError("this is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, int, float, bytes, bool, type(None)):
                raise ValueError("this is no key")
            into[key] = value

    def _global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _stack_global(self, _: Any) -> None:
        self._name(*self._pop(2))

    def _name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("this is no name")
        full = f"{module}.{name}"
        if full not in KNOWN:
            raise RefusedFileError(
                f"it wants {full[:120]!r}, which files of this kind never hold; nothing of it was run"
            )
        self._stack.append(Named(full))

    def _reduce(self, _: Any) -> None:
        made_of, arguments = self._pop(2)
        if type(made_of) is not Named or type(arguments) is not tuple:
            raise ValueError("this cannot be made")
        self._stack.append(Described(made_of.name, arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        (state,) = self._pop(1)
        into = self._stack[-1]
        if type(into) is not Described:
            raise ValueError("this has no state")
        into.states.append(state)
