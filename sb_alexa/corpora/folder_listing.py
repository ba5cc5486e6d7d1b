"""What lies in a folder, without opening a file."""

from __future__ import annotations

import os
from pathlib import Path

from sb_alexa.corpora.text_files import name_some


def visible_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """Entries in order of name; copying between file systems leaves hidden ones behind."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def size_bytes(entry: os.DirEntry[str]) -> int:
    """Size of a file; -1 for a dangling link, which the check of its audio calls missing."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return -1


def found_in(folder: Path) -> str:
    """The first entries of a folder, in words.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> found_in(folder)
    'the folder is empty'
    >>> (folder / "clips").mkdir()
    >>> found_in(folder)
    'found clips/'
    """
    names = [entry.name + "/" * entry.is_dir() for entry in visible_entries(folder)]
    return f"found {name_some(names)}" if names else "the folder is empty"
