"""L1: authenticated encryption and keyed hashes. Keys come from settings, never from a store."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12  # NIST SP 800-38D, the recommended nonce of AES-GCM


class Sealer:
    """AES-256-GCM under versioned keys; `context` binds a sealed value to its place."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = {version: AESGCM(key) for version, key in keys.items()}
        self._newest = max(keys)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Two bytes of key version, the nonce, then ciphertext and tag."""
        nonce = os.urandom(NONCE_BYTES)
        version = self._newest.to_bytes(2, "big")
        return version + nonce + self._keys[self._newest].encrypt(nonce, plain, context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Raises ValueError for another context, an unknown key version or a changed value."""
        version = int.from_bytes(sealed[:2], "big")
        key = self._keys.get(version)
        if key is None:
            raise ValueError(f"no key of version {version}")
        try:
            return key.decrypt(sealed[2 : 2 + NONCE_BYTES], sealed[2 + NONCE_BYTES :], context)
        except InvalidTag as error:
            raise ValueError("sealed value does not belong here or was changed") from error


def keyed_hash(key: bytes, data: bytes, size: int = 8) -> bytes:
    """BLAKE2b in its keyed mode (RFC 7693), `size` bytes: useless without the key."""
    return hashlib.blake2b(data, key=key, digest_size=size).digest()


def subkeys(keys: Mapping[int, bytes], use: str) -> dict[int, bytes]:
    """A key ring for one use, derived from another's: what is known of one tells nothing of it."""
    return {version: keyed_hash(key, use.encode(), 32) for version, key in keys.items()}


class KeyedHashes:
    """Hashes of values that could be guessed, under versioned keys: to compare, never to read."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = dict(keys)
        self._newest = max(keys)

    def make(self, value: str) -> bytes:
        """Two bytes of key version and the hash, under the newest key."""
        return self._made(self._newest, value)

    def match(self, kept: bytes, value: str) -> bool:
        """Whether `kept` was made of this value. Raises ValueError for an unknown key version."""
        version = int.from_bytes(kept[:2], "big")
        if version not in self._keys:
            raise ValueError(f"no key of version {version}")
        return hmac.compare_digest(kept, self._made(version, value))

    def _made(self, version: int, value: str) -> bytes:
        return version.to_bytes(2, "big") + keyed_hash(self._keys[version], value.encode(), 32)
