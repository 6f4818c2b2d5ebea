"""Commands on workflow definitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from projections.cli.arguments import parse_pairs
from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    moment,
    print_json,
    print_rows,
    print_table,
    safe,
    short,
    store_option,
)

if TYPE_CHECKING:
    from eventstore.payload import Value
    from projections.store import Store

_HASH_DIGITS = 12


@click.command(epilog=examples("workflows --store my-store", "workflows --store my-store --deleted -o json"))
@click.option("--deleted", is_flag=True, help="Deleted ones, too.")
@store_option
@format_option
def workflows(deleted: bool, address: str, format: Format) -> None:
    """List workflow definitions, by id."""
    with existing(address) as store:
        found = store.list_workflows(include_deleted=deleted)
    if format == "text":
        lines = ((w.id, w.name, w.version, w.hash[:_HASH_DIGITS], moment(w.saved_at)) for w in found)
        print_table(("WORKFLOW", "NAME", "VERSION", "HASH", "SAVED"), lines)
    else:
        print_rows(found, format)


@click.group(epilog=examples("workflow save letters letters.json --store my-store"))
def workflow() -> None:
    """Save, show and delete workflow definitions."""


@workflow.command(
    epilog=examples(
        "workflow show letters --store my-store",
        "workflow show letters 2 --store my-store > letters-2.json",
    )
)
@click.argument("workflow_id", metavar="WORKFLOW")
@click.argument("version", required=False, type=click.IntRange(min=1))
@store_option
@format_option
def show(workflow_id: str, version: int | None, address: str, format: Format) -> None:
    """Show a definition and its versions; a deleted one, too.

    With a VERSION, shows that one's whole definition as JSON.
    """
    from eventstore.errors import NotFound

    with existing(address) as store:
        found = store.get_workflow(workflow_id, include_deleted=True)
        if found is None:
            raise NotFound("workflow", workflow_id, "List them with `eventstore workflows`.")
        versions = store.list_workflow_versions(workflow_id)
        if version is not None:
            definition = next((each.definition for each in versions if each.version == version), None)
            if definition is None:
                hint = f"The newest one is {found.version}."
                raise NotFound(f"version of workflow {workflow_id!r} that is", str(version), hint)
            print_json(store.load(definition))
            return
        definition = _loaded(store, found.definition) if format != "text" else None
    if format != "text":
        print_json({"workflow": found, "definition": definition, "versions": versions})
        return
    click.echo(f"workflow  {safe(found.id)}")
    for name, value in (("name", found.name), ("deleted", moment(found.deleted_at))):
        if value:
            click.echo(f"{name:<10}{short(value)}")
    click.echo()
    lines = ((v.version, v.name, v.hash[:_HASH_DIGITS], moment(v.saved_at)) for v in versions)
    print_table(("VERSION", "NAME", "HASH", "SAVED"), lines)


@workflow.command(
    epilog=examples(
        "workflow save letters letters.json --store my-store",
        "workflow save post post.json --name Parcels --store my-store",
    )
)
@click.argument("workflow_id", metavar="WORKFLOW")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--name", default="", help="What people call it.")
@click.option("--metadata", metavar="KEY=JSON", multiple=True, help="Metadata of the definition; repeatable.")
@store_option
@format_option
def save(workflow_id: str, file: str, name: str, metadata: tuple[str, ...], address: str, format: Format) -> None:
    """Save a definition, which is a JSON document.

    A file that is - is the standard input. The content of the newest version again makes no new version; the name and
    the metadata are replaced by those given here.
    """
    from eventstore.errors import InvalidInput, InvalidValue
    from eventstore.values import decode_value

    pairs = parse_pairs(metadata)
    with click.open_file(file, "rb") as opened:
        content = opened.read()
    try:
        definition = decode_value(content)
    except InvalidValue as error:
        raise InvalidInput(f"{file}: {error}", "Give a file with one JSON document.") from error
    with existing(address) as store:
        saved = store.save_workflow(workflow_id, definition, name=name, metadata=pairs)
    if format == "text":
        click.echo(f"{safe(saved.id)} is at version {saved.version}, {saved.hash}")
    else:
        print_json(saved)


@workflow.command(epilog=examples("workflow delete letters --store my-store"))
@click.argument("workflow_id", metavar="WORKFLOW")
@click.option("--reason", default="", help="Noted with the deletion.")
@store_option
@format_option
def delete(workflow_id: str, reason: str, address: str, format: Format) -> None:
    """Hide a definition. Its versions and its runs stay; saving it again brings it back."""
    with existing(address) as store:
        deleted = store.delete_workflow(workflow_id, reason)
    if format == "text":
        click.echo(f"deleted {safe(deleted.id)}; its versions and runs stay")
    else:
        print_json(deleted)


def _loaded(store: Store, definition: Value | None) -> Any:
    return None if definition is None else store.load(definition)
