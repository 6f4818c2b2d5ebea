"""What the README and the guide show is what happens."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks_of, run_transcript


@pytest.mark.parametrize("document", ["README.md", "docs/GUIDE.md"])
def test_every_block_runs_in_order_and_prints_what_the_document_says(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran: list[str] = []
    printed = ""
    for block in blocks_of(document):
        if block.language == "python":
            # A module's blocks share their names, as the reader's session does.
            exec(compile("\n" * (block.line - 1) + block.text, document, "exec"), {"__name__": "reader"})
            printed = capsys.readouterr().out
        elif block.language == "console":
            run_transcript(block, tmp_path)
        elif block.language == "sh":
            for line in block.text.splitlines():
                assert os.access(ROOT / line.split()[0], os.X_OK), line
        elif ran[-1] == "python":
            assert block.text == printed
        else:
            assert block.language == "text", f"line {block.line}: nobody tests a block of {block.language!r}"
        ran.append(block.language)
    assert {"python", "console", "text"} <= set(ran)


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_file_a_document_links_to_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert all(((ROOT / document).parent / target).exists() for target in targets), targets


def test_the_architecture_document_names_every_file() -> None:
    text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    files = {path.name for package in ("eventstore", "projections") for path in (ROOT / package).glob("*.py")}
    missing = {name for name in files - {"__init__.py"} if f"`{name}`" not in text}
    assert not missing
