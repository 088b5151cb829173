"""Ed25519 signatures of receipts: keys from POSTMERGE_SIGNING_KEY, or derived from POSTMERGE_SECRET."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailer.core.errors import BadInput

_HEX_KEY = re.compile(r"[0-9a-f]{64}")
_PUBLIC = "public:"
_DERIVED = b"postmerge receipt signing key"


@dataclass(frozen=True)
class SigningKeys:
    """The private key that signs, and the public keys (64 hex digits) that are published, the signing key's first."""

    private: Ed25519PrivateKey
    public: tuple[str, ...]

    def sign(self, data: bytes) -> str:
        """Return the signature, as 128 hex digits."""
        return self.private.sign(data).hex()


def read_keys(signing_key: str, secrets: tuple[str, ...]) -> SigningKeys:
    """Read POSTMERGE_SIGNING_KEY: the private key that signs, then older ones, or only their public halves (``public:…``).

    The keys derived from ``secrets`` stay published, and sign where no other key is set. Raises BadInput.
    """
    given = [one for one in re.split(r"[\s,]+", signing_key) if one]
    if not all(_HEX_KEY.fullmatch(one.removeprefix(_PUBLIC)) for one in given) or any(map(_is_public, given[:1])):
        raise BadInput(
            "POSTMERGE_SIGNING_KEY is not valid: set it to the output of `openssl rand -hex 32`, followed by older keys, if"
            f" any, after commas; of an older key `{_PUBLIC}` and its public key are enough."
        )
    private = [_load_private(bytes.fromhex(one)) for one in given if not _is_public(one)]
    derived = [_load_private(HKDF(SHA256(), 32, None, _DERIVED).derive(one.encode())) for one in secrets]
    public = [one.removeprefix(_PUBLIC) if _is_public(one) else _show_public(bytes.fromhex(one)) for one in given]
    public += [key.public_key().public_bytes_raw().hex() for key in derived]
    return SigningKeys([*private, *derived][0], tuple(dict.fromkeys(public)))


def is_signed(data: bytes, signature: str, public_key: str) -> bool:
    """Return whether this key signed the data. Signature and key are lower-case hex digits."""
    if not re.fullmatch(r"[0-9a-f]{128}", signature) or not _HEX_KEY.fullmatch(public_key):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_public(key: str) -> bool:
    return key.startswith(_PUBLIC)


def _load_private(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def _show_public(seed: bytes) -> str:
    return _load_private(seed).public_key().public_bytes_raw().hex()
