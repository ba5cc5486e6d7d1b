"""A whole HTML page that stands alone: no network, no script, light and dark, narrow and wide."""

from __future__ import annotations

from html import escape
from importlib.resources import files


def html_document(title: str, body: str, *, style: str = "") -> str:
    """Put content into a page with the style that all pages of the package share.

    Arguments
    ---------
    title : str
        Plain text.
    body : str
        HTML, which is not escaped.
    style : str
        Further rules, of this page alone.

    Returns
    -------
    html : str
        A document; the style is inside.

    Example
    -------
    >>> page = html_document("A & B", "<p>Text.</p>")
    >>> "<title>A &amp; B</title>" in page, "http" in page
    (True, False)
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style_sheets("page.css")}{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def style_sheets(*names: str) -> str:
    """The rules of some style sheets of this folder, one after the other.

    Example
    -------
    >>> style_sheets("page.css").startswith(":root"), style_sheets()
    (True, '')
    """
    folder = files("sb_alexa.report")
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
