"""Blobs know when they were put last, and are removed only if that is long ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventstore.blobs import RENEWAL, digest_of
from eventstore.errors import BlobMissing
from projections import Store
from tests.sql_stores import change
from tests.stores import ONE_OF_EACH, Clock, open_again

DATA = b"0123456789" * 200
DIGEST = digest_of(DATA)
HOUR = timedelta(hours=1)
ALWAYS = datetime.max.replace(tzinfo=UTC)


def test_a_blob_says_how_large_it_is_and_when_it_was_put(store: Store, clock: Clock) -> None:
    before = clock.time
    store.values.blobs.put(DATA)
    kept = store.values.blobs.look(DIGEST)
    assert kept is not None
    assert (kept.digest, kept.size) == (DIGEST, len(DATA))
    assert before < kept.kept_at <= clock.time


@pytest.mark.parametrize("digest", [DIGEST, "", "../../secret", DIGEST.upper()])
def test_nothing_is_known_of_a_blob_that_is_not_there_and_nothing_is_removed(store: Store, digest: str) -> None:
    other = store.values.blobs.put(b"other")
    assert store.values.blobs.look(digest) is None
    assert store.values.blobs.remove(digest, kept_before=ALWAYS) == 0
    assert list(store.values.blobs.digests()) == [other]


def test_a_blob_is_removed_once_and_others_stay(store: Store) -> None:
    blobs = store.values.blobs
    other = blobs.put(b"other")
    blobs.put(DATA)
    assert blobs.remove(DIGEST, kept_before=ALWAYS) == len(DATA)
    assert blobs.remove(DIGEST, kept_before=ALWAYS) == 0
    with pytest.raises(BlobMissing):
        blobs.get(DIGEST)
    assert (list(blobs.digests()), blobs.get(other)) == ([other], b"other")


def test_a_removed_blob_can_be_put_again(store: Store) -> None:
    blobs = store.values.blobs
    blobs.put(DATA)
    blobs.remove(DIGEST, kept_before=ALWAYS)
    blobs.put(DATA)
    assert blobs.get(DIGEST) == DATA


def test_a_blob_that_was_put_since_stays(store: Store, clock: Clock) -> None:
    blobs = store.values.blobs
    before = clock.time
    blobs.put(DATA)
    assert blobs.remove(DIGEST, kept_before=before) == 0
    assert blobs.get(DIGEST) == DATA


def test_to_put_a_blob_again_renews_its_time(store: Store, clock: Clock) -> None:
    blobs = store.values.blobs
    blobs.put(DATA)
    clock.time += HOUR
    before = clock.time
    blobs.put(DATA)
    kept = blobs.look(DIGEST)
    assert kept is not None
    assert kept.kept_at > before
    assert blobs.remove(DIGEST, kept_before=before) == 0


def test_a_time_that_is_almost_right_is_left_as_it_is(lasting_store: Store, clock: Clock) -> None:
    """It would cost a write each time; whoever removes blobs allows for it."""
    blobs = lasting_store.values.blobs
    blobs.put(DATA)
    first = blobs.look(DIGEST)
    clock.time += RENEWAL - timedelta(seconds=10)
    blobs.put(DATA)
    assert blobs.look(DIGEST) == first


def test_the_time_is_kept_when_the_store_is_opened_again(lasting: str, lasting_store: Store) -> None:
    lasting_store.values.blobs.put(DATA)
    with open_again(lasting, Clock(datetime(2030, 1, 1, tzinfo=UTC))) as again:
        assert again.values.blobs.look(DIGEST) == lasting_store.values.blobs.look(DIGEST)


@pytest.mark.parametrize("backend", ONE_OF_EACH[2:], indirect=True)
def test_a_blob_from_before_times_were_noted_was_put_long_ago(store: Store) -> None:
    """Until it is put again."""
    blobs = store.values.blobs
    blobs.put(DATA)
    change(store.address, "UPDATE blobs SET kept_at = ''")
    kept = blobs.look(DIGEST)
    assert kept is not None
    assert kept.kept_at.year == 1
    blobs.put(DATA)
    assert blobs.remove(DIGEST, kept_before=datetime(2026, 1, 1, tzinfo=UTC)) == 0
    change(store.address, "UPDATE blobs SET kept_at = ''")
    assert blobs.remove(DIGEST, kept_before=datetime(2026, 1, 1, tzinfo=UTC)) == len(DATA)
