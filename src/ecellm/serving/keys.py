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
        equal = self._is_known(_digest(given[len(SCHEME) :].strip()))
        return not self._digests or (equal and found)

    def session(self, key: str, until: int) -> str | None:
        """Return what proves, up to a time in seconds since 1970, that a client had a key; None where it is no key.

        It is signed with the key's digest, so that every process of a service accepts it, also after a restart, until
        the key is withdrawn.
        """
        digest = _digest(key.strip().encode("utf-8", "surrogateescape"))
        return f"{until}.{_signature(digest, until)}" if self._is_known(digest) else None

    def accept_session(self, session: str, now: float) -> bool:
        """Say whether a text is a session of one of the keys that has not expired."""
        until, _, signature = session.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 12 and signature.isascii()):
            return False
        equal = False
        for known in self._digests:
            equal |= hmac.compare_digest(signature, _signature(known, int(until)))
        return equal and now < int(until)

    def _is_known(self, digest: bytes) -> bool:
        equal = False
        for known in self._digests:
            equal |= hmac.compare_digest(digest, known)
        return equal


def _signature(digest: bytes, until: int) -> str:
    return hmac.new(digest, f"ecellm session {until}".encode(), hashlib.sha256).hexdigest()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
