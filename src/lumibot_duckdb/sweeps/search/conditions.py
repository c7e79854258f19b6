"""Conditions on parameters, such as `fast < slow and average != 'sma'`.

A condition is read by Python's parser and translated part by part; it is never executed as Python. Anything but what
is listed here is an error: names of parameters, numbers, texts, `true`, `false`, `null`; `and`, `or`, `not`;
comparisons, `in`, `is`; `+ - * / // %`; `abs`, `min` and `max`.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from lumibot_duckdb.sweeps.search.dimensions import is_number
from lumibot_duckdb.sweeps.search.errors import ConditionError, did_you_mean

if TYPE_CHECKING:
    from lumibot_duckdb.results.records import Value

Values: TypeAlias = "Mapping[str, Value]"
_Evaluation: TypeAlias = Callable[[Values], Any]

_MOST_CHARACTERS = 2_000
_MOST_SHOWN = 200
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda value, several: value in several,
    ast.NotIn: lambda value, several: value not in several,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
_INSTEAD = {"&&": "and", "||": "or", "<>": "!=", "&": "and", "|": "or", "!": "not"}
_FOREIGN = re.compile(r"&&?|\|\|?|<>|!(?!=)|(?<![=<>!:])=(?!=)|(?i:\bAND\b|\bOR\b|\bNOT\b)")


class Condition:
    """A condition that combinations of parameters must meet.

    Args:
        text: The expression.
        names: The names of the parameters that it may use.

    Attributes:
        names: The names that it uses.

    Raises:
        ConditionError: It cannot be read. The message has the position, counted from 1.

    >>> condition = Condition("fast < slow and average != 'sma'", ["fast", "slow", "average"])
    >>> condition.holds({"fast": 5, "slow": 20, "average": "ema"})
    True
    >>> Condition("fast < slow && fast > 9", ["fast", "slow"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    lumibot_duckdb.sweeps.search.errors.ConditionError: fast < slow && fast > 9: unknown operator && at position 13; ...
    """

    def __init__(self, text: str, names: Iterable[str]) -> None:
        self.text = text.strip()
        translation = _Translation(self.text, frozenset(names))
        self._evaluate = translation.result()
        self.names = frozenset(translation.used)

    def holds(self, values: Values) -> bool:
        """Return whether a combination meets the condition.

        Raises:
            ConditionError: It has no answer, for instance because a text is compared with a number.
        """
        try:
            return self._evaluate(values)
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            given = ", ".join(f"{name}={values[name]!r}" for name in sorted(self.names))
            example = "compare it, as in: fast > 0"
            if not isinstance(error, _NotBooleanError):
                example = "exclude such values first, as in: stop is null or stop < 5"
            # Python's own text depends on the types ("float modulo").
            problem = "division by zero" if isinstance(error, ZeroDivisionError) else error
            raise ConditionError(f"{self.text}: {f'with {given}, ' if given else ''}{problem}; {example}") from None


class _NotBooleanError(TypeError):
    """A number or a text is where true or false must be."""


class _Translation:
    """Translates the syntax tree of an expression to functions, and notes the names."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text, self._names = text, names
        self.used: set[str] = set()

    def result(self) -> Callable[[Values], bool]:
        """Return the function that evaluates the expression."""
        if not self._text:
            raise ConditionError("the condition is empty; write one such as fast < slow")
        if len(self._text) > _MOST_CHARACTERS:
            raise ConditionError(f"the condition has more than {_MOST_CHARACTERS:,} characters; divide it into several")
        try:
            return self._truth(self._of(self._parsed()))
        except (RecursionError, MemoryError):
            raise ConditionError(f"{self._text[:40]}...: too deeply nested; divide it into several") from None

    def _parsed(self) -> ast.expr:
        for position, character in enumerate(self._text, 1):
            if not character.isprintable():
                raise self._error(f"{character!r} cannot be read", position)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # Python's advice for programs
                return ast.parse(self._text, mode="eval").body
        except SyntaxError as error:
            raise self._unreadable(error.offset or 0) from None

    def _unreadable(self, position: int) -> ConditionError:
        """Return the error for what Python cannot read; first for operators of other languages. The end is at 0."""
        outside = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: "_" * len(quoted[0]), self._text)
        for found in _FOREIGN.finditer(outside):
            word = found[0]
            instead = "==" if word == "=" else _INSTEAD.get(word, word.lower())
            if instead != word:
                return self._error(f"unknown operator {word}", found.start() + 1, f"; write {instead}")
        if not position:
            return self._error("something is missing", len(self._text) + 1)
        return self._error("cannot be read", position)

    def _error(self, problem: str, position: int, remedy: str = "") -> ConditionError:
        shown = self._text if len(self._text) <= _MOST_SHOWN else f"{self._text[:_MOST_SHOWN]}..."
        return ConditionError(f"{shown}: {problem} at position {position}{remedy}")

    def _at(self, node: ast.expr, problem: str, remedy: str = "") -> ConditionError:
        """Return an error about a part. Python counts in bytes of UTF-8."""
        before = self._text.encode()[: node.col_offset].decode()
        return self._error(problem, len(before) + 1, remedy)

    def _of(self, node: ast.expr) -> _Evaluation:
        translate = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        if translate is None:
            raise self._at(node, f"{_kind(node)} cannot be used", f"; {_ALLOWED}")
        evaluation: _Evaluation = translate(node)
        return evaluation

    def _of_constant(self, node: ast.Constant) -> _Evaluation:
        constant = node.value
        if constant is not None and not isinstance(constant, (bool, int, float, str)):
            raise self._at(node, f"{constant!r} cannot be used", f"; {_ALLOWED}")
        return lambda values: constant

    def _of_name(self, node: ast.Name) -> _Evaluation:
        name = node.id
        if name in self._names:
            self.used.add(name)
            return lambda values: values[name]
        if name.casefold() in _CONSTANTS:
            constant = _CONSTANTS[name.casefold()]
            return lambda values: constant
        remedy = did_you_mean(name, sorted(self._names))
        raise self._at(node, f"unknown name {name}", f"{remedy} (a text needs quotes: '{name}')")

    def _of_boolop(self, node: ast.BoolOp) -> _Evaluation:
        parts = [self._truth(self._of(part)) for part in node.values]
        if isinstance(node.op, ast.And):
            return lambda values: all(part(values) for part in parts)
        return lambda values: any(part(values) for part in parts)

    def _of_unaryop(self, node: ast.UnaryOp) -> _Evaluation:
        operand = self._of(node.operand)
        if isinstance(node.op, ast.Not):
            truth = self._truth(operand)
            return lambda values: not truth(values)
        if isinstance(node.op, ast.USub):
            return lambda values: -_number(operand(values))
        if isinstance(node.op, ast.UAdd):
            return lambda values: _number(operand(values))
        raise self._at(node, "~ cannot be used", "; write not")

    def _of_binop(self, node: ast.BinOp) -> _Evaluation:
        calculate = _ARITHMETIC.get(type(node.op))
        if calculate is None:
            word = {"BitAnd": "&", "BitOr": "|"}.get(type(node.op).__name__)
            remedy = f"write {_INSTEAD[word]} for {word}" if word else "those of numbers are + - * / // %"
            raise self._at(node, "unknown operator in the expression", f"; {remedy}")
        left, right = self._of(node.left), self._of(node.right)
        return lambda values: calculate(_number(left(values)), _number(right(values)))

    def _of_compare(self, node: ast.Compare) -> _Evaluation:
        first = self._of(node.left)
        following = []
        for comparison, part in zip(node.ops, node.comparators, strict=True):
            following.append((_COMPARISONS[type(comparison)], self._of(part)))
            self._check_operand(comparison, part)

        def chain(values: Values) -> bool:
            left = first(values)
            for compare, operand in following:
                right = operand(values)
                if not compare(left, right):
                    return False
                left = right
            return True

        return chain

    def _check_operand(self, comparison: ast.cmpop, part: ast.expr) -> None:
        """Raise unless `in` is followed by a list, and `is` by null, true or false."""
        if isinstance(comparison, (ast.In, ast.NotIn)) and not isinstance(part, (ast.Tuple, ast.List, ast.Set)):
            raise self._at(part, "expected a list after in", ", such as ('sma', 'ema')")
        is_fixed = (isinstance(part, ast.Constant) and (part.value is None or isinstance(part.value, bool))) or (
            isinstance(part, ast.Name) and part.id not in self._names
        )
        if isinstance(comparison, (ast.Is, ast.IsNot)) and not is_fixed:
            raise self._at(part, "expected null, true or false after is", "; compare values with == or !=")

    def _of_tuple(self, node: ast.Tuple | ast.List | ast.Set) -> _Evaluation:
        parts = [self._of(part) for part in node.elts]
        return lambda values: [part(values) for part in parts]

    _of_list = _of_set = _of_tuple

    def _of_call(self, node: ast.Call) -> _Evaluation:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS:
            raise self._at(node, "unknown function", "; there are abs, min and max")
        if node.keywords or not (len(node.args) == 1 if name == "abs" else len(node.args) > 1):
            remedy = f"; it takes {'one number' if name == 'abs' else 'two numbers or more'}"
            raise self._at(node, f"wrong arguments of {name}", remedy)
        function, arguments = _FUNCTIONS[name], [self._of(part) for part in node.args]
        return lambda values: function(*(_number(argument(values)) for argument in arguments))

    @staticmethod
    def _truth(evaluation: _Evaluation) -> Callable[[Values], bool]:
        """Return what evaluates a part that must be true or false, since `fast and slow` is a mistake."""

        def truth(values: Values) -> bool:
            found = evaluation(values)
            if not isinstance(found, bool):
                raise _NotBooleanError(f"{found!r} is neither true nor false")
            return found

        return truth


_ALLOWED = "use names of parameters, numbers, texts, and, or, not, comparisons, in, + - * / // %, abs, min, max"


def _number(value: Any) -> Any:
    """Return a number, since + and * have another meaning for texts."""
    if not is_number(value):
        raise TypeError(f"{value!r} is not a number to calculate with")
    return value


def _kind(node: ast.expr) -> str:
    kinds = {ast.Attribute: "a dot", ast.Subscript: "an index", ast.Lambda: "lambda", ast.IfExp: "if"}
    return kinds.get(type(node), f"this expression ({type(node).__name__})")
