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
    shared = files("sb_alexa.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{shared}{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
