"""Pages that people read: HTML whole in one file, with one look, and its charts."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape


def render(package: str, template: str, **values: object) -> str:
    """Return the page that a template of a package makes; every text is escaped, an unknown name is an error.

    Templates extend `page.html.j2` (blocks title, content) of this package.
    """
    return (
        Environment(
            loader=ChoiceLoader([PackageLoader(package), PackageLoader("ecellm.reports.pages")]),
            autoescape=select_autoescape(["html", "j2"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        .get_template(template)
        .render(**values)
    )
