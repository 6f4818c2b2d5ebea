"""Every command explains itself, with an example that can be run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from projections.cli import main

from .conftest import Run


def all_commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, *path, name)


COMMANDS = dict(all_commands(main))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_explains_itself(run: Run, path: tuple[str, ...], option: str) -> None:
    lines = run(*path, option).text
    assert lines[0].startswith(f"Usage: eventstore {' '.join(path)} [OPTIONS]")
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert "\b" not in "".join(lines)
    examples = lines[next(place for place, line in enumerate(lines) if line.strip() in ("Example:", "Examples:")) + 1 :]
    assert examples
    assert all(line.startswith(f"    eventstore {' '.join(path)}") for line in examples)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_parameter_of_a_command_is_explained(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert parameter.help[0].isupper()
            assert parameter.help.rstrip("]").endswith((".", "one"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_examples_are_taken_by_the_command(path: tuple[str, ...]) -> None:
    command, parent = COMMANDS[path], click.Context(main, **main.context_settings)
    for line in (command.epilog or "").splitlines()[2:]:
        words = shlex.split(line.split("|")[0].split(">")[0])
        assert words[: len(path) + 1] == ["eventstore", *path]
        if not isinstance(command, click.Group):
            command.make_context("eventstore", words[len(path) + 1 :], parent=parent)


def test_the_list_of_commands_cuts_no_sentence(run: Run) -> None:
    lines = run("--help").text
    listed = lines[lines.index("Commands:") + 1 :]
    assert len([line for line in listed if line.startswith("  ")]) >= len(main.commands)
    assert not any(line.endswith("...") for line in listed)


def test_help_names_the_environment_variable(run: Run) -> None:
    assert "EVENTSTORE_URL" in run("--help").out
    assert "EVENTSTORE_URL" in run("runs", "--help").out


def test_the_version_is_told(run: Run) -> None:
    (line,) = run("--version").text
    assert line.startswith("eventstore, version ")


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    ended = run()
    assert "Usage: eventstore" in ended.out + ended.err


def test_the_demo_takes_a_store_and_says_that_it_leaves_one(run: Run) -> None:
    shown = run("demo", "--help").out
    assert "--store" in shown
    assert "leaves a" in shown
