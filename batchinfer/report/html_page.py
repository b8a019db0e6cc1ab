"""The page as one file: template, style and script in one, with a policy that allows nothing else.

Rules:

1. Markup is made by the template alone, which escapes; data for the script stands as JSON in blocks
   that are no script, with every sign spelled out that could end a block.
2. Style and script are allowed by their hashes. No style attributes, no handlers in the markup.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from batchinfer.extras import import_optional

SCRIPT_FILES: Final = (
    "elements.js",
    "drawing.js",
    "filtering.js",
    "gallery.js",
    "detail.js",
    "page.js",
)
"""In this order they are one script."""
_REPORT_PACKAGE: Final = "batchinfer.report"


@dataclass(frozen=True, slots=True)
class PageParts:
    """The files a page is made of, each as its package and its name."""

    template: tuple[str, str]
    styles: Sequence[tuple[str, str]]
    """In this order they are one style."""
    scripts: Sequence[tuple[str, str]]


REPORT_PAGE: Final = PageParts(
    (_REPORT_PACKAGE, "page.html.j2"),
    ((_REPORT_PACKAGE, "report.css"),),
    tuple((_REPORT_PACKAGE, name) for name in SCRIPT_FILES),
)

_HTML_ESCAPES: Final = {
    ord(sign): f"\\u{ord(sign):04x}" for sign in ("<", ">", "&", "\u2028", "\u2029")
}


def render_page(
    context: Mapping[str, Any],
    blocks: Mapping[str, Sequence[str]],
    parts: PageParts = REPORT_PAGE,
) -> Sequence[str]:
    """The page in pieces, to be written one after the other; `blocks`: JSON texts by their name.

    Raises ConfigError when Jinja2 is missing.
    """
    jinja = import_optional("jinja2", "The report", "report")
    markup = import_optional("markupsafe", "The report", "report").Markup
    style = "\n".join(map(_read_part, parts.styles))
    script = "\n".join(map(_read_part, parts.scripts))
    environment = jinja.Environment(
        autoescape=True, undefined=jinja.StrictUndefined, trim_blocks=False
    )
    template = environment.from_string(_read_part(parts.template))
    # The blocks are large: they are not taken through the template, but put into its gaps.
    gaps = {name: f"\0{name}\0" for name in blocks}
    text = template.render(
        **context,
        **gaps,
        policy=content_security_policy(style, script),
        style=markup(style),
        script=markup(script),
    )
    pieces: list[str] = []
    for name, gap in gaps.items():
        before, _, text = text.partition(gap)
        pieces += [before, *blocks[name]]
    return [*pieces, text]


def content_security_policy(style: str, script: str) -> str:
    """What the page may do: show pictures that stand in it, and run this one script."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_csp_hash(style)}'; script-src "
        f"'{_csp_hash(script)}'; base-uri 'none'; form-action 'none'"
    )


def escape_json_for_html(json: str) -> str:
    """A JSON text with every sign spelled out that could end the block it stands in."""
    return json.translate(_HTML_ESCAPES)


def _read_part(part: tuple[str, str]) -> str:
    package, name = part
    return files(package).joinpath(name).read_text("utf-8")


def _csp_hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
