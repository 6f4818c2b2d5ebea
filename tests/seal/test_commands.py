"""`eventstore seal make`, `seal check` and `seal new-key`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from projections import open_store
from tests.cli.conftest import Outcome, Run
from tests.stores import ONE_OF_EACH, address_of
from tests.verify.example import make, raw_lines, segments

from .forging import fill


class Sealed:
    """A store that was filled and sealed, with a key, and a folder for more seals."""

    def __init__(self, run: Run, address: str, folder: Path) -> None:
        self._run, self.address, self.folder = run, address, folder
        self.key, self.public, self.seal = folder / "key.pem", folder / "public.pem", folder / "monday.seal"
        self.public.write_text(run("seal", "new-key", self.key).out)
        self.made = self.make(self.seal, "--key", self.key)

    def make(self, file: Path, *options: object) -> Outcome:
        return self._run("seal", "make", file, *options, "-s", self.address)

    def check(self, file: Path, *options: object) -> Outcome:
        return self._run("seal", "check", file, *options, "-s", self.address)


@pytest.fixture(params=ONE_OF_EACH[1:])
def sealed(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Sealed:
    """A store of each kind that lasts."""
    address = address_of(str(request.param), tmp_path / "store")
    with open_store(address, durability="none") as store:
        fill(store)
    return Sealed(run, address, tmp_path)


@pytest.fixture
def of_files(run: Run, tmp_path: Path) -> Sealed:
    """A store of files."""
    return Sealed(run, f"jsonl:{make(tmp_path / 'store')}", tmp_path)


def said_in(file: Path) -> Any:
    return json.loads(file.read_bytes().splitlines()[0])


def assert_refused(ended: Outcome, code: int, *words: str) -> None:
    assert (ended.code, ended.out) == (code, "")
    error, hint = ended.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    for word in words:
        assert word in error


def test_a_store_is_sealed_and_fits_its_seal(sealed: Sealed) -> None:
    (line,) = sealed.made.text
    assert line.startswith("sealed: 13 events, 4 streams, digest ")
    (intact, by) = sealed.check(sealed.seal, "--public-key", sealed.public).text
    assert intact == "intact: 13 events, 4 streams"
    assert by == f"sealed at {said_in(sealed.seal)['made_at']}, signed by this key"
    assert sealed.check(sealed.seal, "--quick").text[0] == intact


def test_whoever_asks_for_no_key_is_told_that_anybody_may_have_signed(sealed: Sealed) -> None:
    assert ", signed by some key, " in sealed.check(sealed.seal).text[1]
    unsigned = sealed.folder / "unsigned.seal"
    sealed.make(unsigned)
    assert sealed.check(unsigned).text[1].endswith(", signed by nobody")


def test_programs_are_told_the_same(sealed: Sealed) -> None:
    file = sealed.folder / "second.seal"
    made = sealed.make(file, "-o", "json").json
    assert made.pop("digest") in sealed.make(sealed.folder / "third.seal", "--previous", file, "-o", "json").out
    assert {"file": "seal", **made} == said_in(file)
    checked = sealed.check(sealed.seal, "--public-key", sealed.public, "-o", "json").json
    assert (checked["intact"], checked["vouched"], checked["findings"]) == (True, True, [])
    assert len(bytes.fromhex(checked["signer"])) == 32
    assert checked["seal"]["events"] == 13
    assert sealed.check(sealed.seal, "-o", "jsonl").jsonl == []


def test_a_purge_is_listed_and_is_no_failure(sealed: Sealed) -> None:
    with open_store(sealed.address, durability="none") as store:
        store.log.purge("first")
    lines = sealed.check(sealed.seal).text
    assert lines[0].startswith("info stream-purged: stream 'first': it was purged at ")
    assert lines[2] == "intact: 13 events, 4 streams"
    ended = sealed.check(sealed.seal, "-o", "json").json
    assert [finding["stream"] for finding in ended["findings"]] == ["first"]


def cut_off(sealed: Sealed) -> None:
    """Take away the last commits, and whatever knows of them."""
    folder = sealed.folder / "store"
    last = segments(folder)[-1]
    last.write_bytes(b"".join(raw_lines(last)[:-2]))
    for name in ("_log/index.db", "_views.db"):
        (folder / name).unlink()


@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_a_store_whose_end_was_cut_off_fails(of_files: Sealed, options: list[str]) -> None:
    cut_off(of_files)
    ended = of_files.check(of_files.seal, *options)
    assert (ended.code, ended.err) == (5, "")
    found, action, *_, end, _ = ended.out.splitlines()
    assert found == "error stream-missing: stream '$notes': it is gone; 1 events of it were sealed"
    assert action == "    Copy the store aside and restore this from a backup."
    assert end.startswith("NOT intact: ")
    for format in ("json", "jsonl"):
        ended = of_files.check(of_files.seal, *options, "-o", format)
        printed = [json.loads(line) for line in ended.out.splitlines()]
        assert (ended.code, ended.err) == (5, "")
        listed = printed[0]["findings"] if format == "json" else printed
        assert [finding["stream"] for finding in listed] == ["$notes", "$workflow/letters"]


def test_no_seal_goes_on_from_one_that_does_not_fit(of_files: Sealed) -> None:
    cut_off(of_files)
    tuesday = of_files.folder / "tuesday.seal"
    ended = of_files.make(tuesday, "--previous", of_files.seal, "--key", of_files.key)
    assert ended.code == 5
    assert "error stream-missing" in ended.out
    assert not tuesday.exists()


def test_a_seal_goes_on_from_the_one_before_and_is_held_against_it(of_files: Sealed) -> None:
    tuesday, wednesday = of_files.folder / "tuesday.seal", of_files.folder / "wednesday.seal"
    assert of_files.make(tuesday, "--previous", of_files.seal, "--key", of_files.key).code == 0
    assert of_files.make(wednesday, "--previous", tuesday).code == 0
    assert of_files.check(tuesday, "--previous", of_files.seal).code == 0
    assert_refused(of_files.check(wednesday, "--previous", of_files.seal), 5, "it follows another seal")
    os.replace(of_files.seal, wednesday)
    assert_refused(of_files.check(wednesday, "--previous", tuesday), 5, "it follows another seal (none)")


def test_a_seal_that_is_not_what_was_made_fails(of_files: Sealed, run: Run) -> None:
    unsigned, key = of_files.folder / "unsigned.seal", of_files.folder / "other.pem"
    of_files.make(unsigned)
    assert_refused(of_files.check(unsigned, "--public-key", of_files.public), 5, "unsigned.seal: nobody has signed it")
    other = of_files.folder / "other-public.pem"
    other.write_text(run("seal", "new-key", key).out)
    assert_refused(of_files.check(of_files.seal, "--public-key", other), 5, "it is signed with another key")
    text = of_files.seal.read_bytes()
    of_files.seal.write_bytes(text.replace(b'"position":', b'"position":1'))
    assert_refused(of_files.check(of_files.seal), 5, "its signature is not of what it says")
    of_files.seal.write_bytes(text[:-20])
    assert_refused(of_files.check(of_files.seal), 5, "its list of streams was damaged")


def test_files_that_are_something_else_are_refused(of_files: Sealed) -> None:
    assert_refused(of_files.check(of_files.public), 2, "public.pem is not a seal")
    assert_refused(of_files.check(of_files.seal, "--public-key", of_files.key), 2, "not a public key")
    file = of_files.folder / "tuesday.seal"
    assert_refused(of_files.make(file, "--key", of_files.public), 2, "not a private key")
    assert not file.exists()


def test_nothing_is_replaced_and_what_is_missing_is_told(of_files: Sealed, run: Run) -> None:
    for file in (of_files.seal, of_files.key):
        text = file.read_bytes()
        assert_refused(of_files.make(file), 4, "is there already")
        assert_refused(run("seal", "new-key", file), 4, "is there already")
        assert file.read_bytes() == text
    absent = of_files.folder / "absent"
    for ended in (of_files.check(absent), of_files.make(absent, "--key", absent), of_files.make(absent / "in it")):
        assert (ended.code, ended.out) == (6, "")
    assert not absent.exists()
    assert_refused(run("seal", "make", absent, "-s", absent), 6, "there is no store")
    assert not absent.exists()


def test_seals_and_keys_are_private_and_no_drafts_stay(of_files: Sealed) -> None:
    for file in (of_files.seal, of_files.key):
        assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(of_files.folder)) == ["key.pem", "monday.seal", "public.pem", "store"]
