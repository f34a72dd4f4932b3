"""Who may use the page: the cookie of those who signed in with a key, and the refusal of other sites' forms.

A form in a browser sends no `Authorization`, so a key is exchanged for a cookie that proves it (`Keys.session`). The
page accepts it, and so do the documents, but no address that programs use: those take keys alone.

Any site may have a visitor's browser send a form here (cross-site request forgery). So forms are accepted from the
page itself only: browsers say where a form comes from, by `Sec-Fetch-Site` or `Origin`, and what is no browser says
neither. Where no key is needed and only this machine reaches the service, the name by which it was reached has to be
the machine's own, as another site's name may have been pointed at it (DNS rebinding).
"""

import ipaddress
import time
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from ecellm.serving.keys import Keys

PAGE, SIGN_IN, SIGN_OUT = "/", "/sign-in", "/sign-out"
#: What browsers show as pages, errors included.
PAGE_PATHS = FORM_PATHS = (PAGE, SIGN_IN, SIGN_OUT)
#: Where the cookie stands for a key.
COOKIE_PATHS = (*PAGE_PATHS, "/docs", "/openapi.json")
#: The media types of forms.
FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
COOKIE = "ecellm_session"
#: Seconds after which one has to sign in again.
SESSION_SECONDS = 12 * 3600
#: Values of Sec-Fetch-Site: the page itself, or the user by hand.
ALLOWED_SITES = ("same-origin", "none")


def needs_no_key(method: str, path: str) -> bool:
    """Say whether a request without a key is passed on, so that one may sign in."""
    return path in (SIGN_IN, SIGN_OUT) or (path == PAGE and method == "GET")


def signed_in(headers: Iterable[tuple[bytes, bytes]], keys: Keys) -> bool:
    """Say whether a request has the cookie of a key."""
    for name, value in headers:
        if name == b"cookie":
            try:
                cookies = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                continue
            if COOKIE in cookies and keys.accept_session(cookies[COOKIE].value, time.time()):
                return True
    return False


def is_same_origin(headers: Mapping[str, str], server: str, needs_key: bool) -> bool:
    """Say whether a form comes from the page itself, or from no browser; `server` is the address it came in by."""
    site, origin, host = headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host", "")
    # The first is right behind a proxy, too, which may change the host.
    own = site in ALLOWED_SITES if site is not None else origin is None or _host_of(origin) == host
    return own and (needs_key or not _is_loopback(server) or _is_loopback_name(host))


def public_origin(headers: Mapping[str, str], scheme: str) -> str:
    """Return the address under which a client reached the service; a browser's `Origin` has the scheme even where a
    proxy ends TLS."""
    origin, host = headers.get("origin", ""), headers.get("host", "localhost")
    return origin if _host_of(origin) == host else f"{scheme}://{host}"


def _host_of(origin: str) -> str:
    """Return an origin's host with its port; empty for what is no origin."""
    return origin.partition("://")[2]


def _is_loopback_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
