"""Keys are PEM files, as openssl makes them, too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eventstore.errors import InvalidInput, Unavailable
from eventstore.keys import has_signed, new_key, public_key, sign

PRIVATE = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIHOrKB0wtdKPh1aeMv5Zba8DU9vweqyHkXlXiQbu5RkH
-----END PRIVATE KEY-----
"""
PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAIeI6zTkn4ejwctgn1+kltJSD58+BjJfB3cPjJgko6tU=
-----END PUBLIC KEY-----
"""
WITH_PASSPHRASE = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjyQcQaZszKQQICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEH1gNcmDMCPjtvmJ2RVvUjcEQASo
N8HSAwTblb3JIwQq3qvRUcfrgdup48K9EA23qO0fmb+XwbYedhi0mEnvqjOF40CF
ibbA8rxygwFBokte/7E=
-----END ENCRYPTED PRIVATE KEY-----
"""
X25519 = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIABUeQHauKQQw6HDJ8jw86MWfDVxTEP47yqwBzPJ1FFf
-----END PRIVATE KEY-----
"""
X25519_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEA7b/Qrvts7UfzgkFD0nV8T8DwyMFdGMUr1biSdEzpLhY=
-----END PUBLIC KEY-----
"""


def test_a_key_of_openssl_signs_as_ours_do() -> None:
    for private, public in ((PRIVATE, PUBLIC), new_key()):
        name, signature = sign(private, b"words")
        assert name == public_key(public)
        assert has_signed(name, signature, b"words")
        assert not has_signed(name, signature, b"other words")


def test_every_new_key_is_another_one() -> None:
    assert new_key() != new_key()


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "not a private key"),
        (b"hello", "not a private key"),
        (PUBLIC, "not a private key"),
        (WITH_PASSPHRASE, "protected by a passphrase"),
        (X25519, "of another kind than Ed25519"),
    ],
)
def test_what_cannot_sign_is_refused(pem: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        sign(pem, b"words")
    assert refused.value.hint


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "not a public key"),
        (b"hello", "not a public key"),
        (PRIVATE, "not a public key"),
        (X25519_PUBLIC, "of another kind than Ed25519"),
    ],
)
def test_what_is_no_public_key_is_refused(pem: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refused:
        public_key(pem)
    assert refused.value.hint


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for call in (new_key, lambda: sign(PRIVATE, b""), lambda: public_key(PUBLIC), lambda: has_signed("", "", b"")):
        with pytest.raises(Unavailable) as refused:
            call()
        assert "flowledger[seal]" in refused.value.hint


def test_sealing_without_a_key_needs_no_package() -> None:
    program = """
import sys
from eventstore.memory import MemoryLog
from eventstore.seal import check_signature
from eventstore.sealing import compare_with_seal, seal_log
from projections.cli import main
log = MemoryLog()
seal = seal_log(log)
check_signature(seal, "it")
assert not list(compare_with_seal(log, seal))
print("cryptography" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("False\n", "")
