"""Reads a pickle as a description of objects, without building them: nothing that a file names is imported or called.

A pickle is a small program. Those of Lumibot's Yahoo cache use few instructions and name few objects; any other
instruction or name is refused. Objects are returned as `Described`, from which `pickled_frames` builds the data.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any

from lumibot_duckdb.lumibot_contract import pickled_names
from lumibot_duckdb.sources.shared.old_cache.errors import RefusedFileError, UnreadableFileError

LARGEST = 32 * 2**20
"""Largest size in bytes of a file, and of the table in it. The daily history of a stock takes about one million."""

_MAX_INSTRUCTIONS = 200_000

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
"""The names that a pickle may use: everything in such a cache, written by pandas 1.3 to 3.1 and NumPy 1 or 2."""


@dataclass(frozen=True)
class Named:
    """A name in a pickle, which was not imported."""

    name: str


@dataclass(eq=False)
class Described:
    """An object that a pickle describes: what it is made `of`, its arguments, and states that are set afterwards."""

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
        RefusedFileError: it has a name or an instruction that such a cache never uses.
        UnreadableFileError: it is not a complete pickle.
    """
    if len(pickle) > LARGEST:
        raise UnreadableFileError(f"it is too large for such a file ({len(pickle):,} bytes)")
    machine = _Machine()
    try:
        for number, (instruction, argument, _) in enumerate(pickletools.genops(pickle)):
            if number > _MAX_INSTRUCTIONS:
                raise UnreadableFileError("it has too many parts for such a file")
            if instruction.name == "STOP":
                return machine.result()
            machine.do(instruction.name, argument)
    except (RefusedFileError, UnreadableFileError):
        raise
    except Exception as error:  # an invalid pickle can fail in any way
        raise UnreadableFileError(f"it is not a complete pickle ({type(error).__name__})") from None
    raise UnreadableFileError("it is truncated")


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
        elif (method := getattr(self, f"_{instruction.lower()}", None)) is not None:
            method(argument)
        else:
            raise RefusedFileError(f"it has an instruction ({instruction}) that such files never use")

    def _pop(self, count: int) -> list[Any]:
        if count > len(self._stack):
            raise ValueError("the stack has too few values")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        if any(value is _MARK for value in taken):
            raise ValueError("there is a mark instead of a value")
        return taken

    def _pop_to_mark(self) -> list[Any]:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                taken = self._stack[place + 1 :]
                del self._stack[place:]
                return taken
        raise ValueError("there is no mark")

    # -- instructions, named as in `pickletools` -------------------------------------------------------------

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
            raise ValueError("this is not a list")
        into.extend(values)

    def _put_into_dict(self, pairs: list[Any]) -> None:
        into = self._stack[-1]
        if type(into) is not dict or len(pairs) % 2:
            raise ValueError("this is not a dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, int, float, bytes, bool, type(None)):
                raise ValueError("this is not a plain key")
            into[key] = value

    def _global(self, argument: str) -> None:
        self._name(*argument.split(" ", 1))

    def _stack_global(self, _: Any) -> None:
        self._name(*self._pop(2))

    def _name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise ValueError("this is not a name")
        full = f"{module}.{name}"
        if full not in KNOWN:
            raise RefusedFileError(f"it names {full[:120]!r}, which such files never contain; nothing in it was run")
        self._stack.append(Named(full))

    def _reduce(self, _: Any) -> None:
        made_of, arguments = self._pop(2)
        if type(made_of) is not Named or type(arguments) is not tuple:
            raise ValueError("this cannot be called")
        self._stack.append(Described(made_of.name, arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        (state,) = self._pop(1)
        into = self._stack[-1]
        if type(into) is not Described:
            raise ValueError("this has no state")
        into.states.append(state)
