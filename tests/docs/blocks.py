"""Finds the code blocks of a Markdown file, and runs shell transcripts."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CHECKER = doctest.OutputChecker()


class Block(NamedTuple):
    """A block's language, text, and the line it begins on."""

    language: str
    text: str
    line: int


def blocks_of(document: str) -> list[Block]:
    """All blocks of a document of this project, in order."""
    text = (ROOT / document).read_text()
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in _FENCE.finditer(text)]


def run_transcript(block: Block, folder: Path) -> None:
    """Run every line after a `$ `, and hold what it prints against the lines below; `...` stands for anything."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
        )
        printed = done.stdout + done.stderr
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert _CHECKER.check_output(expected, printed, options), f"line {block.line}: $ {command}\n{printed}"
