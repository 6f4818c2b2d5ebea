"""The demo's workflow: what the standard library of the running Python is made of.

    modules ──▶ parse.asyncio ──▶ metrics.asyncio ──▶ summary
            ──▶ parse.…       ──▶ metrics.…       ──▶
                      └────────▶ graph ───────────────▶

Each task is a function of what it is given and of the library's files, and so gives the same again.
"""

from __future__ import annotations

import ast
import platform
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, TypedDict

from eventstore.errors import InvalidInput
from eventstore.values import encode_value
from projections.demo.runner import Step, Workflow

SKIPPED = frozenset((
    "test", "tests", "idlelib", "lib2to3", "distutils", "ensurepip", "tkinter", "turtledemo", "encodings", "pydoc_data",
))  # fmt: skip
"""Tests, tools and tables. They and all private modules are left out: together a third, so that the demo is short."""

INITIALS = ("ab", "cd", "efgh", "ijklmn", "op", "qrs", "tuvwxyz")
"""Modules that belong to no package are grouped by their first letter, as if each group were one."""

GRANT = 64 * 1024
"""Bytes of import graph that a first attempt may put out; each further attempt may put out 16 times as many."""

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Outline(TypedDict):
    """What is kept of a module's syntax tree. Each import is a module's name and the line it stands on."""

    lines: int
    functions: int
    classes: int
    nesting: int
    imports: list[tuple[str, int]]


class Metrics(TypedDict):
    """A package in numbers."""

    modules: int
    lines: int
    functions: int
    classes: int
    imports: int
    nesting: int
    longest: str


class GrantExceeded(Exception):
    """An attempt needs more room than it was granted. The next one is granted more."""


def standard_library() -> Workflow:
    """The workflow for the Python that is running."""
    packages = list(library())
    parse_ids = tuple(f"parse.{package}" for package in packages)
    metrics_ids = tuple(f"metrics.{package}" for package in packages)
    steps = [Step("modules", lambda _inputs, _attempt: library())]
    steps += [Step(id, partial(parse, package), ("modules",)) for id, package in zip(parse_ids, packages, strict=True)]
    steps += [Step(id, measure, (parsed,)) for id, parsed in zip(metrics_ids, parse_ids, strict=True)]
    steps += [Step("graph", import_graph, parse_ids), Step("summary", summarise, ("graph", *metrics_ids))]
    return Workflow("standard library", tuple(steps), "summary", {"python": platform.python_version()})


def library() -> dict[str, list[str]]:
    """The library's packages, each with the paths of its modules, both in alphabetical order."""
    root = _root()
    packages: dict[str, list[str]] = {}
    for path in sorted(root.glob("*.py")):
        for group in INITIALS:
            if path.stem[0].lower() in group:
                packages.setdefault(f"{group[0]}-{group[-1]}", []).append(path.name)
    for initialiser in root.glob("[a-z]*/__init__.py"):
        package = initialiser.parent
        paths = (path.relative_to(root) for path in package.rglob("*.py"))
        if package.name.isidentifier():
            packages[package.name] = sorted(path.as_posix() for path in paths if _is_wanted(path))
    if not packages:
        raise InvalidInput(f"the standard library has no sources in {root}", "Run the demo with another Python.")
    return {package: paths for package, paths in sorted(packages.items()) if paths}


def parse(package: str, inputs: Mapping[str, Any], _attempt: int) -> dict[str, Outline]:
    """Outline each module of a package, by the module's name."""
    root = _root()
    return {_module(path): outline((root / path).read_bytes(), path) for path in inputs["modules"][package]}


def outline(source: bytes, path: str) -> Outline:
    """Count what a module has. Nesting is the number of blocks around the innermost statement."""
    functions = classes = nesting = 0
    imports: list[tuple[str, int]] = []
    package = _module(path) if path.endswith("/__init__.py") else _module(path).rpartition(".")[0]
    for statement, depth in _statements(ast.parse(source)):
        nesting = max(nesting, depth)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            functions += 1
        elif isinstance(statement, ast.ClassDef):
            classes += 1
        elif isinstance(statement, ast.Import):
            imports += [(alias.name, statement.lineno) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            name = "." * statement.level + (statement.module or "")
            imports.append((resolve_name(name, package), statement.lineno))
    return Outline(
        lines=source.count(b"\n"), functions=functions, classes=classes, nesting=nesting, imports=sorted(imports)
    )


def measure(inputs: Mapping[str, Any], _attempt: int) -> Metrics:
    """Add up a package's outlines."""
    (outlines,) = inputs.values()
    return Metrics(
        modules=len(outlines),
        lines=sum(each["lines"] for each in outlines.values()),
        functions=sum(each["functions"] for each in outlines.values()),
        classes=sum(each["classes"] for each in outlines.values()),
        imports=sum(len(each["imports"]) for each in outlines.values()),
        nesting=max(each["nesting"] for each in outlines.values()),
        longest=max(outlines, key=lambda module: (outlines[module]["lines"], module)),
    )


def import_graph(inputs: Mapping[str, Any], attempt: int) -> list[dict[str, str | int]]:
    """Every import statement of the library. Raises `GrantExceeded` if that is more than this attempt may put out."""
    graph: list[dict[str, str | int]] = [
        {"module": module, "imports": name, "line": line}
        for outlines in inputs.values()
        for module, found in outlines.items()
        for name, line in found["imports"]
    ]
    size, granted = len(encode_value(graph)), GRANT * 16 ** (attempt - 1)
    if size > granted:
        raise GrantExceeded(f"{size:,} bytes do not fit into the {granted:,} granted to attempt {attempt}")
    return graph


def summarise(inputs: Mapping[str, Any], _attempt: int) -> dict[str, Any]:
    """Totals, the largest packages by lines, and the modules that most others import."""
    packages = {id.removeprefix("metrics."): found for id, found in inputs.items() if id != "graph"}
    importers = {(edge["imports"], edge["module"]) for edge in inputs["graph"]}
    popularity = Counter(name for name, _ in importers)
    totals = ("modules", "lines", "functions", "classes", "imports")
    return {
        "packages": len(packages),
        **{name: sum(found[name] for found in packages.values()) for name in totals},
        "nesting": max(found["nesting"] for found in packages.values()),
        "largest": sorted(((name, found["lines"]) for name, found in packages.items()), key=_most_first)[:10],
        "most_imported": sorted(popularity.items(), key=_most_first)[:10],
    }


def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _is_wanted(path: Path) -> bool:
    return SKIPPED.isdisjoint(path.parts) and (path.name == "__init__.py" or not path.name.startswith("_"))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _statements(block: ast.AST, depth: int = 0) -> Iterator[tuple[ast.AST, int]]:
    """All statements in a block, each with the number of blocks around it; `elif` opens no block inside its `if`."""
    for part in _BLOCKS:
        inner: list[ast.AST] = getattr(block, part, [])
        chained = part == "orelse" and len(inner) == 1 and isinstance(block, ast.If) and isinstance(inner[0], ast.If)
        for statement in inner:
            yield statement, depth - chained
            yield from _statements(statement, depth + 1 - chained)


def _most_first(ranked: tuple[str, int]) -> tuple[int, str]:
    return -ranked[1], ranked[0]
