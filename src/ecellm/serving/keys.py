"""API keys: which there are, and whether a request has one. Keys are never logged or shown."""

import hashlib
import hmac
import os
from collections.abc import Iterable

#: The environment variable of the keys: one, or several divided by commas, so that they can be changed one by one.
VARIABLE = "ECELLM_API_KEY"
SCHEME = b"bearer "


class Keys:
    """The keys that a service accepts; without any, it accepts every request."""

    def __init__(self, keys: Iterable[str] = ()):
        # Digests have one length, so comparing them says nothing of a key's.
        self._digests = [_digest(key.encode("utf-8", "surrogateescape")) for key in keys]

    @classmethod
    def from_environment(cls) -> "Keys":
        """Return the keys of ECELLM_API_KEY."""
        return cls(key.strip() for key in os.environ.get(VARIABLE, "").split(",") if key.strip())

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: bytes | None) -> bool:
        """Say whether an Authorization header has a key, in the same time whatever is wrong with it."""
        given = authorization or b""
        found = given[:7].lower() == SCHEME
        digest = _digest(given[len(SCHEME) :].strip())
        equal = False
        for known in self._digests:
            equal |= hmac.compare_digest(digest, known)
        return not self._digests or (equal and found)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
