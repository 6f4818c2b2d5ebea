"""Imports run one way: from the read side to the write side, and never in a circle."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGES = ("eventstore", "projections")
OTHER_STORES = ("memory:", "jsonl:store", "sqlite:store.db")


def module_files() -> dict[str, Path]:
    """Every module of both packages, by its full name."""
    found = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for file in root.rglob("*.py"):
            parts = (package, *file.relative_to(root).with_suffix("").parts)
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


def importing_nodes(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import below a node, in functions too, but for those that only a type checker follows."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children: Iterator[ast.AST] = iter(node.orelse)
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        else:
            yield from importing_nodes(child)


def imports_of(source: str, module: str, is_package: bool, modules: Collection[str]) -> set[str]:
    """The full names of what a module imports: for `from a import b` that is a.b if b is one of the modules, else a."""
    names = set()
    for node in importing_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        origin = node.module or ""
        if node.level:
            parts = module.split(".") if is_package else module.split(".")[:-1]
            here = parts[: len(parts) - node.level + 1]
            origin = ".".join([*here, origin] if origin else here)
        full_names = {f"{origin}.{alias.name}" for alias in node.names}
        names |= {full if full in modules else origin for full in full_names}
    return names


FILES = module_files()
IMPORTS = {
    module: imports_of(file.read_text(encoding="utf-8"), module, file.name == "__init__.py", FILES)
    for module, file in FILES.items()
}


def importers_of(package: str) -> set[str]:
    """The modules that import a package or anything in it."""
    return {
        module
        for module, names in IMPORTS.items()
        for name in names
        if name == package or name.startswith(f"{package}.")
    }


def test_the_modules_of_both_packages_are_found() -> None:
    assert {"eventstore", "eventstore.log", "eventstore.testing", "eventstore.testing.order", "projections"} <= set(
        FILES
    )
    assert "eventstore.log" in IMPORTS["eventstore.memory"]


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import a.b
from .near import one
from .. import far, not_a_module
if TYPE_CHECKING:
    import never
else:
    import otherwise
def late():
    if True:
        from c import d
"""
    found = {"a.b", "p.q.near", "p", "p.far", "otherwise", "c"}
    assert imports_of(source, "p.q.module", False, {"p.far"}) == found
    assert imports_of("from .near import one", "p.q", True, ()) == {"p.q.near"}


def test_the_write_side_never_imports_the_read_side() -> None:
    assert [module for module in importers_of("projections") if module.split(".")[0] == "eventstore"] == []


def test_no_imports_go_in_a_circle() -> None:
    try:
        TopologicalSorter({module: names & FILES.keys() for module, names in IMPORTS.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("package", ["pytest", "hypothesis"])
def test_only_the_shipped_contract_imports_test_tools(package: str) -> None:
    importers = importers_of(package)
    assert importers
    assert [module for module in importers if not module.startswith("eventstore.testing")] == []


@pytest.mark.parametrize("package", ["psycopg", "psycopg_pool"])
def test_only_the_postgres_log_imports_the_postgres_client(package: str) -> None:
    importers = importers_of(package)
    assert importers
    assert [module for module in importers if not module.startswith("eventstore.postgres")] == []


def test_the_postgres_log_is_imported_only_where_it_is_used() -> None:
    """Whoever has no client can use all other stores."""
    importers = {
        module for module, names in IMPORTS.items() if any(name.startswith("eventstore.postgres") for name in names)
    }
    outside = {module for module in importers if not module.startswith("eventstore.postgres")}
    assert outside == {"projections.store"}


@pytest.mark.parametrize(
    "program",
    [
        "import eventstore",
        "import projections; projections.open_store",
        *(f"from projections import open_store; open_store('{address}').close()" for address in OTHER_STORES),
        "from projections.cli import main; main(['--help'], standalone_mode=False)",
        "from projections.cli import main; main(['runs', '-s', 'memory:'], standalone_mode=False)",
    ],
)
def test_the_postgres_client_is_not_loaded_without_need(tmp_path: Path, program: str) -> None:
    code = f"import sys; {program}; print(*({{'psycopg', 'psycopg_pool'}} & sys.modules.keys()), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == ""


def test_importing_the_write_side_loads_nothing_that_most_programs_do_not_need() -> None:
    unneeded = {"asyncio", "psycopg", "watchfiles", "click", "pytest", "hypothesis", "projections"}
    code = f"import sys, eventstore; print(*sorted({unneeded!r} & sys.modules.keys()))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (shown.stdout.strip(), shown.stderr) == ("", "")
