"""Ed25519 keys in PEM files, as `openssl genpkey -algorithm ed25519` makes them, too; and signatures as hex text.

`cryptography` does the work and is imported only when it is needed: it comes with the extra `seal`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from eventstore.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519


def new_key() -> tuple[bytes, bytes]:
    """A fresh key, without a passphrase, and its public half, each as a PEM document."""
    _require()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def sign(key: bytes, data: bytes) -> tuple[str, str]:
    """The public half of the key in this PEM document, and what it signs these bytes with. Raises `InvalidInput`."""
    private = _private_key(key)
    return private.public_key().public_bytes_raw().hex(), private.sign(data).hex()


def public_key(pem: bytes) -> str:
    """The public key in this PEM document, as a signature names it. Raises `InvalidInput`."""
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    hint = "Give the public half: `openssl pkey -in KEY.pem -pubout`."
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput("this is not a public key in PEM form", hint) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InvalidInput("this public key is of another kind than Ed25519", hint)
    return key.public_bytes_raw().hex()


def has_signed(public: str, signature: str, data: bytes) -> bool:
    """Whether the signature is that of this public key over these bytes. What is no key or no signature is not."""
    _require()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(bytes.fromhex(signature), data)
    except (ValueError, InvalidSignature):
        return False
    return True


def _private_key(pem: bytes) -> ed25519.Ed25519PrivateKey:
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    hint = "Make one with `eventstore seal new-key`."
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        plain = "Take the passphrase off a copy of it: `openssl pkey -in KEY.pem -out COPY.pem`."
        raise InvalidInput("this key is protected by a passphrase", plain) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput("this is not a private key in PEM form", hint) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InvalidInput("this key is of another kind than Ed25519", hint)
    return key


def _require() -> None:
    try:
        import_module("cryptography")
    except ImportError as error:
        hint = "Install it: pip install 'flowledger[seal]'."
        raise Unavailable(f"signatures need a package that cannot be imported: {error}", hint) from error
