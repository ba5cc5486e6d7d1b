"""What lets a long preparation be repeated, interrupted and resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@contextmanager
def replaced_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well.

    After an error, a full disk or a kill, `path` is what it was before.

    Arguments
    ---------
    path : str or path-like
        The file to write or to replace; its folder is created when it is missing.

    Yields
    ------
    temporary : Path
        Where to write.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> with replaced_atomically(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("new")
    >>> [file.name for file in folder.iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def fingerprint(listing: Iterable[tuple[str, int]]) -> str:
    """Digest of a list of files, independent of where the folder lies and of the order given.

    Arguments
    ---------
    listing : iterable of (str, int)
        Path relative to the folder, and size in bytes, of every file.

    Returns
    -------
    digest : str
        64 hexadecimal digits (SHA-256).

    Example
    -------
    >>> fingerprint([("a", 1), ("b", 2)]) == fingerprint([("b", 2), ("a", 1)])
    True
    >>> fingerprint([("a", 1), ("b", 2)]) == fingerprint([("a", 1), ("b", 3)])
    False
    """
    digest = hashlib.sha256()
    for path, size_bytes in sorted(listing):
        digest.update(f"{path}\0{size_bytes}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Stamp:
    """What a finished preparation was asked for, what it read and what it wrote.

    Arguments
    ---------
    arguments : dict
        The arguments that decide what is written, as JSON values (lists, not tuples).
    inputs : str
        `fingerprint` of the files read.
    outputs : dict of str to int
        Size in bytes of every file written, by its path relative to the folder.
    result : dict
        Whatever the preparation wants to know again without reading its files.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> size = (folder / "out.csv").write_text("ID\\n")
    >>> Stamp({"splits": ["a"]}, "f00d", {"out.csv": size}, {}).write(folder / "stamp.json")
    >>> stamp = Stamp.read(folder / "stamp.json")
    >>> stamp.is_current(folder, {"splits": ["a"]}, "f00d")
    True
    >>> stamp.is_current(folder, {"splits": ["b"]}, "f00d")
    False
    """

    arguments: dict[str, Any]
    inputs: str
    outputs: dict[str, int]
    result: dict[str, Any]

    def is_current(self, folder: Path, arguments: dict[str, Any], inputs: str) -> bool:
        """Whether the same arguments and inputs would write what still lies in `folder`."""
        return (
            self.arguments == arguments
            and self.inputs == inputs
            and self.outputs == sizes_bytes(folder, self.outputs)
        )

    def write(self, path: Path) -> None:
        """Write the stamp as JSON; call it last, when every output is in place."""
        with replaced_atomically(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Stamp | None:
        """The stamp at `path`, or None where there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def sizes_bytes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Size in bytes of each named file of `folder`, -1 for one that is missing."""
    return {n: (folder / n).stat().st_size if (folder / n).is_file() else -1 for n in names}


class Journal:
    """Append-only JSON lines of finished work, by name, which survive a kill at any moment.

    Arguments
    ---------
    path : Path
        The file; created at the first `append`. A last line cut short by a kill is dropped, and a
        line that is not JSON (a power failure can leave one) counts as work not done.

    Example
    -------
    >>> path = getfixture("tmp_path") / "journal.jsonl"
    >>> Journal(path).append([("a.flac", {"num_samples": 16000})])
    >>> with path.open("a") as file:
    ...     _ = file.write('["b.flac", {"num_sam')
    >>> Journal(path).entries
    {'a.flac': {'num_samples': 16000}}
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, dict[str, Any]] = {}
        if not path.is_file():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            try:
                name, entry = json.loads(line)
                self.entries[name] = dict(entry)
            except (ValueError, TypeError):
                continue

    def append(self, entries: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Add entries, and hand them to the operating system before returning."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        added = dict(entries)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([name, entry]) + "\n" for name, entry in added.items())
        self.entries.update(added)
