"""Commands of the task board."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click

from projections.cli.output import (
    Command,
    Format,
    examples,
    existing,
    format_option,
    limit_option,
    moment,
    print_json,
    print_rows,
    print_table,
    safe,
    short,
    store_option,
)

if TYPE_CHECKING:
    from projections.board import Board
    from projections.rows import BoardTask

    Change = Callable[[Board], BoardTask]


@click.group(
    epilog=examples(
        "board add 'Paint the door' --store my-store",
        "board claim --agent ada --store my-store",
    )
)
def board() -> None:
    """Keep a board of tasks for people and agents.

    A task is ready, working, in review or done; or blocked, until the tasks that it needs are done or somebody lifts
    a block that was set by hand.
    """


def task_argument(command: Command) -> Command:
    """The task's id."""
    return click.argument("task")(command)


def reason_option(command: Command) -> Command:
    """`--reason TEXT`, which must be given."""
    return click.option("--reason", required=True, help="Why.")(command)


def lease_option(command: Command) -> Command:
    """`--lease SECONDS`."""
    return click.option("--lease", type=float, metavar="SECONDS", help="How long until the claim is stale.")(command)


def choice_options(command: Command) -> Command:
    """Which of the ready tasks is next."""
    command = click.option("--by-priority", is_flag=True, help="The highest priority first, then the oldest.")(command)
    return click.option("--tag", "tags", multiple=True, help="Only with this tag; may be given several times.")(command)


def holder_options(command: Command) -> Command:
    """Who has the task, as the caller believes."""
    command = click.option("--claim", type=int, help="Refuse unless the task is under this claim.")(command)
    return click.option("--agent", help="Refuse unless this agent has the task.")(command)


@board.command(
    epilog=examples(
        "board add 'Sand the door' --id sand --store my-store",
        "board add 'Paint the door' --needs sand --store my-store",
    )
)
@click.argument("title")
@click.option("--id", "task_id", help="The task's id; a new one if none is given.")
@click.option("--description", default="", help="What is to be done.")
@click.option("--criteria", default="", help="How to see that it is done.")
@click.option("--needs", multiple=True, metavar="TASK", help="A task to be done first; may be given several times.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given several times.")
@click.option("--priority", type=int, default=0, help="Higher is more urgent.")
@store_option
@format_option
def add(
    title: str,
    task_id: str | None,
    description: str,
    criteria: str,
    needs: tuple[str, ...],
    tags: tuple[str, ...],
    priority: int,
    address: str,
    format: Format,
) -> None:
    """Put a task on the board. If there is no store, one is begun."""
    from projections.store import open_store

    with open_store(address) as store:
        added = store.board.create(
            title,
            task_id=task_id,
            description=description,
            acceptance_criteria=criteria,
            depends_on=needs,
            tags=tags,
            priority=priority,
        )
    _print_one(added, format)


@board.command(
    "list",
    epilog=examples("board list --store my-store", "board list --status ready --tag door --store my-store -o jsonl"),
)
@click.option("--status", multiple=True, help="Only in this status; may be given several times.")
@click.option("--assignee", help="Only what this agent has.")
@click.option("--tag", "tags", multiple=True, help="Only with this tag; may be given several times.")
@click.option("--priority", type=int, help="Only of this priority.")
@limit_option
@store_option
@format_option
def list_(
    status: tuple[str, ...],
    assignee: str | None,
    tags: tuple[str, ...],
    priority: int | None,
    limit: int | None,
    address: str,
    format: Format,
) -> None:
    """List tasks, oldest first."""
    with existing(address) as store:
        found = store.board.list(status=status or None, assignee=assignee, tags=tags, priority=priority, limit=limit)
    _print(found, format)


@board.command(epilog=examples("board show paint --store my-store"))
@task_argument
@store_option
@format_option
def show(task: str, address: str, format: Format) -> None:
    """Show a task, what it needs, and what needs it."""
    from eventstore.errors import NotFound

    with existing(address) as store:
        found = store.board.get(task)
        if found is None:
            raise NotFound("board task", task, "List them with `eventstore board list`.")
        needs, needed_by = store.board.dependencies(task), store.board.dependents(task)
    if format != "text":
        print_json({"task": found, "needs": needs, "needed_by": needed_by})
        return
    click.echo(f"task      {safe(found.id)}")
    for name, value in _facts(found):
        if value:
            click.echo(f"{name:<10}{short(value)}")
    for name, tasks in (("NEEDS", needs), ("NEEDED BY", needed_by)):
        if tasks:
            click.echo()
            print_table((name, "STATUS", "TITLE"), ((each.id, each.status, each.title) for each in tasks))


@board.command(
    epilog=examples(
        "board update paint --title 'Paint the door red' --store my-store",
        "board update paint --needs sand --needs buy --store my-store",
        "board update paint --needs-nothing --store my-store",
    )
)
@task_argument
@click.option("--title", help="Another title.")
@click.option("--description", help="Another description.")
@click.option("--criteria", help="Other criteria.")
@click.option("--needs", multiple=True, metavar="TASK", help="All tasks to be done first, one at a time.")
@click.option("--needs-nothing", is_flag=True, help="No task has to be done first.")
@click.option("--tag", "tags", multiple=True, help="All its tags, one at a time.")
@click.option("--no-tags", is_flag=True, help="It has no tags.")
@click.option("--priority", type=int, help="Another priority.")
@store_option
@format_option
def update(
    task: str,
    title: str | None,
    description: str | None,
    criteria: str | None,
    needs: tuple[str, ...],
    needs_nothing: bool,
    tags: tuple[str, ...],
    no_tags: bool,
    priority: int | None,
    address: str,
    format: Format,
) -> None:
    """Change what is given of a task, and nothing else."""
    for given, none, names in ((needs, needs_nothing, "--needs"), (tags, no_tags, "--tag")):
        if given and none:
            raise click.UsageError(f"{names} is given together with its opposite.")

    def change(tasks: Board) -> BoardTask:
        return tasks.update(
            task,
            title=title,
            description=description,
            acceptance_criteria=criteria,
            tags=tags if tags or no_tags else None,
            priority=priority,
            depends_on=needs if needs or needs_nothing else None,
        )

    _change(address, format, change)


@board.command(epilog=examples("board rm paint --reason 'It stays blue' --store my-store"))
@task_argument
@click.option("--reason", default="", help="Why.")
@click.option("--detach", is_flag=True, help="Tasks that need it need it no more; else it stays.")
@store_option
@format_option
def rm(task: str, reason: str, detach: bool, address: str, format: Format) -> None:
    """Take a ready or blocked task off the board. Its events stay."""
    _change(address, format, lambda tasks: tasks.delete(task, reason, cascade="detach" if detach else None))


@board.command("next", epilog=examples("board next --store my-store"))
@choice_options
@store_option
@format_option
def next_(tags: tuple[str, ...], by_priority: bool, address: str, format: Format) -> None:
    """Show the task to begin next, if any is ready. Changes nothing."""
    with existing(address) as store:
        found = store.board.next_ready(tags=tags, by_priority=by_priority)
    _print_one(found, format)


@board.command(
    epilog=examples(
        "board claim --agent ada --lease 600 --store my-store",
        "board claim paint --agent ada --store my-store",
    )
)
@click.argument("task", required=False)
@click.option("--agent", required=True, help="Who is to work on it.")
@lease_option
@choice_options
@store_option
@format_option
def claim(
    task: str | None,
    agent: str,
    lease: float | None,
    tags: tuple[str, ...],
    by_priority: bool,
    address: str,
    format: Format,
) -> None:
    """Give somebody this task, or the next one if none is named.

    However many ask at once, no two get the same one. If none is ready, none is shown.
    """
    if task is not None and (tags or by_priority):
        raise click.UsageError("A task is named, and another one is asked for with --tag or --by-priority.")
    with existing(address) as store:
        if task is None:
            claimed = store.board.claim_next(agent, lease=lease, tags=tags, by_priority=by_priority)
        else:
            claimed = store.board.assign(task, agent, lease=lease)
    _print_one(claimed, format)


@board.command(epilog=examples("board submit paint --agent ada --claim 1 --store my-store"))
@task_argument
@holder_options
@store_option
@format_option
def submit(task: str, agent: str | None, claim: int | None, address: str, format: Format) -> None:
    """Hand in the work on a task for review."""
    _change(address, format, lambda tasks: tasks.submit(task, agent=agent, claim=claim))


@board.command(epilog=examples("board approve paint --store my-store"))
@task_argument
@store_option
@format_option
def approve(task: str, address: str, format: Format) -> None:
    """Call a task in review done, which may unblock others."""
    _change(address, format, lambda tasks: tasks.approve(task))


@board.command(epilog=examples("board changes paint --reason 'One side is blue' --store my-store"))
@task_argument
@reason_option
@lease_option
@store_option
@format_option
def changes(task: str, reason: str, lease: float | None, address: str, format: Format) -> None:
    """Give a task in review back to who worked on it."""
    _change(address, format, lambda tasks: tasks.request_changes(task, reason, lease=lease))


@board.command(epilog=examples("board revert paint --reason 'Wrong door' --store my-store"))
@task_argument
@reason_option
@store_option
@format_option
def revert(task: str, reason: str, address: str, format: Format) -> None:
    """Make a task in review ready again, for anybody."""
    _change(address, format, lambda tasks: tasks.revert(task, reason))


@board.command(epilog=examples("board release paint --reason 'No brush' --store my-store"))
@task_argument
@click.option("--reason", default="", help="Why.")
@holder_options
@store_option
@format_option
def release(task: str, reason: str, agent: str | None, claim: int | None, address: str, format: Format) -> None:
    """Give a task back unfinished, for anybody."""
    _change(address, format, lambda tasks: tasks.release(task, reason, agent=agent, claim=claim))


@board.command(epilog=examples("board block paint --reason 'No paint' --store my-store"))
@task_argument
@reason_option
@store_option
@format_option
def block(task: str, reason: str, address: str, format: Format) -> None:
    """Block a ready task by hand."""
    _change(address, format, lambda tasks: tasks.block(task, reason))


@board.command(epilog=examples("board unblock paint --store my-store"))
@task_argument
@store_option
@format_option
def unblock(task: str, address: str, format: Format) -> None:
    """Lift a block that was set by hand."""
    _change(address, format, lambda tasks: tasks.unblock(task))


@board.command(epilog=examples("board stale --store my-store"))
@store_option
@format_option
def stale(address: str, format: Format) -> None:
    """List the tasks whose claims have run out."""
    with existing(address) as store:
        found = store.board.stale_claims()
    _print(found, format)


def _change(address: str, format: Format, change: Change) -> None:
    with existing(address) as store:
        changed = change(store.board)
    _print_one(changed, format)


def _print_one(task: BoardTask | None, format: Format) -> None:
    if format == "text":
        _print([] if task is None else [task], format)
    else:
        print_json(task)


def _print(tasks: Iterable[BoardTask], format: Format) -> None:
    if format == "text":
        lines = ((t.id, _status(t), t.priority, t.assignee, t.claim or None, t.title) for t in tasks)
        print_table(("TASK", "STATUS", "PRIORITY", "ASSIGNEE", "CLAIM", "TITLE"), lines)
    else:
        print_rows(tasks, format)


def _status(task: BoardTask) -> str:
    return task.status if task.deleted_at is None else "deleted"


def _facts(task: BoardTask) -> Iterator[tuple[str, str]]:
    yield "title", task.title
    yield "status", task.status
    yield "reason", task.reason or ""
    yield "details", task.description
    yield "criteria", task.acceptance_criteria
    yield "tags", ", ".join(task.tags or ())
    yield "priority", str(task.priority or "")
    yield "assignee", task.assignee or ""
    yield "claim", str(task.claim or "")
    yield "lease", moment(task.lease_until)
    yield "created", moment(task.created_at)
