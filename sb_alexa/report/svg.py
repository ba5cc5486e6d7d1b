"""Primitives of SVG text; colours and type come from the classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def drawing(width: float, height: float, label: str, *parts: str) -> str:
    """A picture that scales with the page.

    Arguments
    ---------
    width, height : float
        Of the coordinate system.
    label : str
        What it shows, for those who cannot see it.
    *parts : str
        Elements.

    Returns
    -------
    svg : str
        An `<svg>` element.

    Example
    -------
    >>> drawing(20, 10, "a line", line(0, 0, 20, 10, "grid"))[:59]
    '<svg viewBox="0 0 20 10" role="img" aria-label="a line"><li'
    """
    attributes = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}"'
    return f"<svg {attributes}>{''.join(parts)}</svg>"


def text(x: float, y: float, content: str, kind: str, *, anchor: str = "start") -> str:
    """A line of text; `anchor` is start, middle or end."""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {where}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def dot(x: float, y: float, radius: float) -> str:
    """A filled circle."""
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def points(element: str, coordinates: Iterable[tuple[float, float]], kind: str) -> str:
    """A `polyline` or `polygon`."""
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in coordinates)
    return f'<{element} class="{kind}" points="{joined}"/>'


def stand_alone(picture: str, style: str) -> str:
    """A drawing as a file of its own.

    Arguments
    ---------
    picture : str
        From `drawing`.
    style : str
        Rules of a style sheet.

    Example
    -------
    >>> stand_alone(drawing(20, 10, "nothing"), "svg { color: red }")[:56]
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 '
    """
    end = picture.index(">") + 1
    head = picture[:end].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    font = "svg { font-family: ui-sans-serif, system-ui, sans-serif; background: var(--paper); }"
    return f"{head}<style>{escape(style, quote=False)}{font}</style>{picture[end:]}\n"
