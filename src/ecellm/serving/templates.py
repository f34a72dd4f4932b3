"""HTML made on the server: the templates beside this file, one stylesheet and one script, and a policy by which a
page loads and runs nothing else."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ecellm.serving", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters["code"] = _code
    made.globals |= {"stylesheet": Markup(_asset("page.css")), "script": Markup(_asset("page.js"))}
    return made


def render(template: str, **values: object) -> str:
    """Return a page."""
    return _environment().get_template(template).render(**values)


def page(
    template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: object
) -> HTMLResponse:
    """Return a page as a response that no cache keeps: it may have a user's texts."""
    own = {"Cache-Control": "no-store", "Content-Security-Policy": _policy(), "Referrer-Policy": "same-origin"}
    own |= {"X-Content-Type-Options": "nosniff"}
    # Half of a surrogate pair, which a model may write in an escape, becomes a ?.
    return HTMLResponse(render(template, **values).encode("utf-8", "replace"), status, {**own, **(headers or {})})


def _code(text: str) -> Markup:
    """Return a text in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _asset(name: str) -> str:
    # Between line feeds, as the policy's digest is of all that stands between the tags.
    return "\n" + resources.files("ecellm.serving").joinpath(name).read_text(encoding="utf-8").strip() + "\n"


@cache
def _policy() -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest('page.css')}",
            f"script-src {_digest('page.js')}",
            "img-src data:",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _digest(name: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()}'"
