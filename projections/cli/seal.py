"""Commands that seal a store, and hold it against a seal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    print_json,
    print_rows,
    progress,
    safe,
    store_option,
)
from projections.cli.upkeep import print_findings

if TYPE_CHECKING:
    from eventstore.log import Log
    from eventstore.seal import Seal
    from projections.findings import Finding

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(
    epilog=examples(
        "seal new-key key.pem > public.pem",
        "seal make monday.seal --key key.pem -s my-store",
        "seal check monday.seal --public-key public.pem -s my-store",
    )
)
def seal() -> None:
    """Tell later whether somebody has changed the past.

    A seal is a small file with every stream's version and last hash. Keep it where nobody who can write to the store
    can reach it: then it also shows what was cut off at the end, and a store that was written anew from the start.
    """


@seal.command(
    epilog=examples(
        "seal make monday.seal --key key.pem -s my-store",
        "seal make tuesday.seal --previous monday.seal -s my-store",
    )
)
@click.argument("file", type=FILE)
@click.option("--key", type=FILE, metavar="PEM", help="Sign with this Ed25519 key.")
@click.option("--previous", type=FILE, metavar="SEAL", help="Check this seal first, and go on from it.")
@store_option
@format_option
def make(file: Path, key: Path | None, previous: Path | None, address: str, format: Format) -> None:
    """Seal what a store holds now.

    Others may use the store meanwhile. A FILE that is there already is left alone. With --previous, the store is first
    held against the seal before, and nothing is written, with exit code 5, if it does not fit that.
    """
    import msgspec

    from eventstore.seal import check_signature, encode_seal, sign_seal
    from eventstore.sealing import seal_log

    _check_absent(file)
    signing = None if key is None else key.read_bytes()
    before = None if previous is None else _read(previous)
    with existing(address) as store:
        if before is not None:
            check_signature(before, str(previous))
            findings = _findings(store.log, before)
            if not _intact(findings):
                _print_checked(before, findings, format)
                raise click.exceptions.Exit(5)
        with progress(store.log.head(), "sealing") as advance:
            made = seal_log(store.log, previous=before, progress=advance)
    if signing is not None:
        made = sign_seal(made, signing)
    _write_new(file, encode_seal(made))
    if format == "text":
        counts = f"{made.statement.events:,} events, {made.statement.streams:,} streams"
        click.echo(f"sealed: {counts}, digest {made.statement.digest}")
    else:
        print_json({"digest": made.statement.digest, **msgspec.structs.asdict(made.statement)})


@seal.command(
    epilog=examples(
        "seal check monday.seal --public-key public.pem -s my-store",
        "seal check tuesday.seal --previous monday.seal -s my-store",
    )
)
@click.argument("file", type=FILE)
@click.option("--public-key", type=FILE, metavar="PEM", help="Accept only what is signed with this key.")
@click.option("--previous", type=FILE, metavar="SEAL", help="Accept only a seal that was made as the next of this one.")
@click.option("--quick", is_flag=True, help="Look only at the last event that was sealed of each stream.")
@store_option
@format_option
def check(
    file: Path, public_key: Path | None, previous: Path | None, quick: bool, address: str, format: Format
) -> None:
    """Hold a store against a seal, and change nothing.

    Exits with 5 if a stream was truncated, rewritten or removed since, or if the seal itself is not in order. To have
    grown is fine, and so is a purge, if the store has a record of it; it is listed. Without --public-key, anybody may
    have made the seal. A copy of the store fits its seals, too. Blobs and views are left to `eventstore verify`.
    """
    from eventstore.seal import check_follows, check_signature

    found = _read(file)
    check_signature(found, str(file), None if public_key is None else public_key.read_bytes())
    if previous is not None:
        check_follows(found, str(file), _read(previous))
    with existing(address) as store:
        findings = _findings(store.log, found, quick=quick)
    _print_checked(found, findings, format, vouched=public_key is not None)
    if not _intact(findings):
        raise click.exceptions.Exit(5)


@seal.command("new-key", epilog=examples("seal new-key key.pem > public.pem"))
@click.argument("file", type=FILE)
def new_key(file: Path) -> None:
    """Make an Ed25519 key to sign with, and print its public half.

    Only you may read FILE, and it has no passphrase. If it is there already it is left alone. The public half is what
    `eventstore seal check` asks for.
    """
    from eventstore.keys import new_key

    _check_absent(file)
    private, public = new_key()
    _write_new(file, [private])
    click.echo(public, nl=False)


def _read(path: Path) -> Seal:
    from eventstore.seal import decode_seal

    with path.open("rb") as file:
        return decode_seal(file, str(path))


def _findings(log: Log, seal: Seal, *, quick: bool = False) -> list[Finding]:
    from eventstore.sealing import compare_with_seal
    from projections.findings import RESTORE, Finding

    findings = []
    with progress(len(seal.heads) if quick else log.head(), "checking") as advance:
        for difference in compare_with_seal(log, seal, quick=quick, progress=advance):
            stream, code, message = difference.stream, f"stream-{difference.kind}", difference.message
            if difference.kind == "purged":
                action = "If nobody was to do that, restore it from a backup."
                findings.append(Finding("info", code, f"stream {stream!r}", message, action, stream))
            else:
                findings.append(Finding("error", code, f"stream {stream!r}", message, RESTORE, stream))
    return findings


def _intact(findings: list[Finding]) -> bool:
    return all(finding.severity == "info" for finding in findings)


def _print_checked(seal: Seal, findings: list[Finding], format: Format, *, vouched: bool = False) -> None:
    import msgspec

    from eventstore.chain import timestamp

    intact, signer = _intact(findings), seal.signature.public_key if seal.signature else None
    if format == "json":
        said = {"digest": seal.statement.digest, **msgspec.structs.asdict(seal.statement)}
        print_json({"intact": intact, "signer": signer, "vouched": vouched, "seal": said, "findings": findings})
    elif format == "jsonl":
        print_rows(findings, format)
    else:
        print_findings(findings)
        counts = f"{seal.statement.events:,} events, {seal.statement.streams:,} streams"
        signed = "by nobody" if signer is None else "by this key" if vouched else f"by some key, {safe(signer)}"
        click.echo(f"{'intact' if intact else 'NOT intact'}: {counts}")
        click.echo(f"sealed at {timestamp(seal.statement.made_at)}, signed {signed}")


def _check_absent(path: Path) -> None:
    from eventstore.errors import Conflict

    if os.path.lexists(path):
        raise Conflict(f"{path} is there already", "Give another name: seals and keys are not replaced.")


def _write_new(path: Path, parts: Iterator[bytes] | list[bytes]) -> None:
    """Write a private file that has its name once it is whole, and takes that from no other file."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(dir=path.parent, prefix=".seal-") as draft:
        draft.writelines(parts)
        draft.flush()
        os.fsync(draft.fileno())
        try:
            os.link(draft.name, path)
        except FileExistsError:
            _check_absent(path)
            raise
