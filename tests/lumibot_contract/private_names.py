"""Finds the places in a source tree that use private names of Lumibot or pandas.

`python tests/lumibot_contract/private_names.py [SRC]` prints them, so that two versions of the tree can be compared.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PRIVATE = re.compile(r"_(?!_)\w*")
_PRIVATE_MODULE = re.compile(r"(?:lumibot|pandas)(?:\.\w+)*\._\w+|pandas\.core(?:\.\w+)*")
_CLASS_LINE = re.compile(r"class (\w+)(?:\(([^)]*))?")
_DEFINITION = re.compile(
    r"\b(?:def|class) (_\w+)"
    r"|\b(?:self|cls)\.(_\w+)(?=(?:\s*,[\w\s.]+)?\s*(?::[^=]+)?=(?!=))"
    r"|^\s*(_\w+)\s*(?::[^=]+)?=(?!=)"
    r"|^\s*(_\w+): "
)


@dataclass(frozen=True, order=True)
class Use:
    """One use of a private name: where, which name, and how it is used."""

    file: str
    line: int
    name: str
    how: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name} ({self.how})"


@dataclass
class _Class:
    """A class, by the names of its bases, and the private names that its body defines or its methods assign."""

    bases: tuple[str, ...]
    private: set[str]


def is_private(name: str) -> bool:
    """Return whether a name is private by convention; dunder names and a lone underscore are not."""
    return name != "_" and _PRIVATE.fullmatch(name) is not None


def uses(tree_root: Path, *, leave_out: Iterable[str] = ("lumibot_contract",)) -> list[Use]:
    """Return all uses of private names of Lumibot or pandas below a folder, outside of the folders `leave_out`."""
    modules = {
        path.relative_to(tree_root).as_posix(): ast.parse(path.read_text()) for path in sorted(tree_root.rglob("*.py"))
    }
    ours = _Classes(modules.values())
    looked_at = {file: each for file, each in modules.items() if not set(file.split("/")) & set(leave_out)}
    return sorted(use for file, module in looked_at.items() for use in _Finder(file, module, ours).uses())


class _Classes:
    """The classes of a tree, which inherit from each other and from Lumibot's."""

    def __init__(self, modules: Iterable[ast.Module]) -> None:
        self.by_name = {name: each for module in modules for name, each in _classes(module).items()}
        self._children: dict[str, set[str]] = defaultdict(set)
        for name, each in self.by_name.items():
            for base in each.bases:
                self._children[base].add(name)

    def lumibots(self, name: str) -> set[str]:
        """Return the private names of Lumibot's classes that a class, or a class made with it, derives from."""
        family, waiting = {name}, [name]
        while waiting:
            for child in self._children[waiting.pop()] - family:
                family.add(child)
                waiting.append(child)
        bases = {base for member in family for base in self._ancestry(member)}
        return {each for base in bases for each in _lumibot_names_of(base)}

    def own(self, name: str) -> set[str]:
        """Return the private names that a class and its bases in the tree define."""
        return {each for base in self._ancestry(name) if base in self.by_name for each in self.by_name[base].private}

    def _ancestry(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += self.by_name[each].bases if each in self.by_name else ()
        return found


class _Finder(ast.NodeVisitor):
    """Collects the uses in one module."""

    def __init__(self, file: str, module: ast.Module, ours: _Classes) -> None:
        self._file = file
        self._module = module
        self._ours = ours
        self._found: set[Use] = set()
        self._class: str | None = None
        self._foreign = _foreign_private_names()
        classes = _classes(module)
        self._local = {each for name, one in classes.items() for each in one.private - ours.lumibots(name)}
        self._local |= _assigned_at_top(module)

    def uses(self) -> set[Use]:
        self.visit(self._module)
        return self._found

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        for alias in node.names:
            full = f"{module}.{alias.name}"
            private = module.split(".")[0] in ("lumibot", "pandas") and is_private(alias.name)
            if private or _PRIVATE_MODULE.match(f"{full}."):
                self._add(node, full, "imported")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if _PRIVATE_MODULE.match(f"{alias.name}."):
                self._add(node, alias.name, "imported")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before, self._class = self._class, node.name
        lumibots = self._ours.lumibots(node.name)
        for each in node.body:
            for name in _names_of_statement(each):
                if name in lumibots:
                    self._add(each, name, f"overridden in {node.name}")
        self.generic_visit(node)
        self._class = before

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if is_private(node.attr) and self._is_foreign(node):
            self._add(node, node.attr, "attribute")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        text = node.value
        if not isinstance(text, str):
            return
        named = is_private(text) and text in _lumibot_private_names() and text not in self._local
        if named or _PRIVATE_MODULE.fullmatch(text):
            self._add(node, text, "named in a string")

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg and is_private(node.arg) and node.arg in _lumibot_private_names():
            self._add(node, node.arg, "keyword")
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        if self._class and is_private(node.arg) and node.arg in _lumibot_private_names():
            self._add(node, node.arg, "parameter")

    def _is_foreign(self, node: ast.Attribute) -> bool:
        if (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")) or _is_super(node.value):
            if self._class is None:
                return False
            lumibots = self._ours.lumibots(self._class)
            if node.attr in lumibots:
                return True
            return bool(lumibots) and node.attr in self._foreign and node.attr not in self._ours.own(self._class)
        return node.attr in self._foreign and node.attr not in self._local

    def _add(self, node: ast.AST, name: str, how: str) -> None:
        self._found.add(Use(self._file, getattr(node, "lineno", 0), name, how))


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _classes(module: ast.AST) -> dict[str, _Class]:
    imported = {
        alias.asname or alias.name: f"lumibot:{alias.name}"
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lumibot"
        for alias in node.names
    }
    found = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            named = [base.id if isinstance(base, ast.Name) else getattr(base, "attr", "") for base in node.bases]
            bases = tuple(imported.get(base, base) for base in named)
            found[node.name] = _Class(bases, _private_names_of_class(node))
    return found


def _private_names_of_class(node: ast.ClassDef) -> set[str]:
    found = {name for each in node.body for name in _names_of_statement(each)}
    for each in ast.walk(node):
        if not (isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and is_private(each.attr)):
            continue
        if isinstance(each.value, ast.Name) and each.value.id in ("self", "cls"):
            found.add(each.attr)
    return found


def _names_of_statement(node: ast.stmt) -> Iterator[str]:
    """Yield the private names that a statement of a class or module defines."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    else:
        names = []
    yield from filter(is_private, names)


def _assigned_at_top(module: ast.Module) -> set[str]:
    return {name for each in module.body for name in _names_of_statement(each)}


@cache
def _lumibot_classes() -> dict[str, _Class]:
    """Return Lumibot's classes, read line by line, since parsing all of Lumibot takes half a minute."""
    found: dict[str, _Class] = {}
    for text in _texts("lumibot"):
        current: str | None = None
        for line in text.splitlines():
            if header := _CLASS_LINE.match(line):
                current = header[1]
                before = found.setdefault(current, _Class((), set()))
                found[current] = _Class((*before.bases, *re.findall(r"\w+", header[2] or "")), before.private)
            elif line[:1].strip() and line[0] not in "#)]}\"'":
                current = None
            if current is not None:
                found[current].private.update(_defined_in(line))
    return found


@cache
def _lumibot_names_of(base: str) -> frozenset[str]:
    """Return the private names of a class of Lumibot ("lumibot:YahooData") and its bases; none of another class."""
    package, _, name = base.partition(":")
    seen: set[str] = set()
    waiting = [name] if package == "lumibot" else []
    while waiting:
        each = waiting.pop()
        if each not in seen and each in _lumibot_classes():
            seen.add(each)
            waiting += _lumibot_classes()[each].bases
    return frozenset(name for each in seen for name in _lumibot_classes()[each].private)


@cache
def _lumibot_private_names() -> frozenset[str]:
    return frozenset(name for text in _texts("lumibot") for line in text.splitlines() for name in _defined_in(line))


@cache
def _foreign_private_names() -> frozenset[str]:
    pandas = (name for text in _texts("pandas") for line in text.splitlines() for name in _defined_in(line))
    return _lumibot_private_names() | frozenset(pandas)


def _defined_in(line: str) -> Iterator[str]:
    """Yield the private names that a line of code defines: functions, classes, parameters, attributes, globals."""
    if "_" in line:
        for found in _DEFINITION.finditer(line):
            yield from filter(is_private, filter(None, found.groups()))


def _texts(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    files = (root / "core").rglob("*.py") if package == "pandas" else root.rglob("*.py")
    yield from (path.read_text() for path in sorted(files) if "tests" not in path.parts)


if __name__ == "__main__":
    found = uses(Path(sys.argv[1] if len(sys.argv) > 1 else "src"))
    print(*found, f"{len(found)} uses", sep="\n")
