"""Hypotheses in a file of their own, matched with their references by identifier."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from sb_alexa.assets import nearest
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.transcript_files import read_blocks


class HypothesisFile:
    """What a recogniser wrote, and which of it has been asked for.

    Arguments
    ---------
    path : str or path-like
        A table with the columns `id` and `hypothesis`, or lines `id TAB text` or `id text`.
    names : mapping of str to str
        What the columns are called there, if not `id` and `hypothesis`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If it cannot be read or has an identifier with two hypotheses.

    Example
    -------
    >>> path = getfixture("tmp_path") / "hypotheses.tsv"
    >>> _ = path.write_text("u1\\ta man\\nu3\\toh\\n")
    >>> file = HypothesisFile(path)
    >>> file.find(["u1", "u2"])
    ['a man', None]
    >>> file.differences("references.tsv")[0].partition(": ")[2]
    'u2'
    """

    def __init__(
        self, path: str | os.PathLike[str], names: Mapping[str, str] | None = None
    ) -> None:
        self.path = os.fspath(path)
        names = names or {}
        wanted = names.get("id", "id"), names.get("hypothesis", "hypothesis")
        self._texts: dict[str, str] = {}
        for block in read_blocks(path, bare_lines=wanted):
            ids = self._column(block.columns, "id", wanted[0])
            texts = self._column(block.columns, "hypothesis", wanted[1])
            for line, identifier, text in zip(block.lines, ids, texts, strict=True):
                if self._texts.setdefault(identifier, text) != text:
                    raise CorpusError(
                        f"{self.path}, line {line}: {identifier!r} has another hypothesis before; "
                        "delete one of them"
                    )
        self._asked: set[str] = set()
        self._absent: list[str] = []

    def _column(self, columns: Mapping[str, list[str]], ours: str, theirs: str) -> list[str]:
        # The other file may have been the one that calls it differently.
        found = next((name for name in (theirs, ours) if name in columns), None)
        if found is None:
            close = nearest(theirs, columns)
            question = f" Did you mean {close}?" if close else ""
            raise CorpusError(
                f"{self.path} lacks the column {theirs!r}.{question} There are: "
                f"{', '.join(columns)}; say what it is called with names, as in {ours}=<column>"
            )
        return columns[found]

    def find(self, ids: Sequence[str]) -> list[str | None]:
        """The hypothesis of each utterance, None where there is none."""
        found = [self._texts.get(identifier) for identifier in ids]
        self._asked.update(ids)
        self._absent += [i for i, text in zip(ids, found, strict=True) if text is None]
        return found

    def differences(self, references: str) -> list[str]:
        """Say which utterances only one of the two files has.

        Arguments
        ---------
        references : str
            What to call the other file.

        Returns
        -------
        list of str
            Sentences; none where both files have the same utterances.

        Raises
        ------
        CorpusError
            If they have none in common.
        """
        extra = [identifier for identifier in self._texts if identifier not in self._asked]
        absent = list(dict.fromkeys(self._absent))
        if len(extra) == len(self._texts):
            raise CorpusError(
                f"{references} and {self.path} have no utterance in common: the former has "
                f"{name_some(absent)}; the latter has {name_some(extra)}; write the same "
                "identifiers in both"
            )
        said = []
        if absent:
            said.append(
                f"{len(absent)} utterances of {references} are not in {self.path} and are left out "
                "(write an empty hypothesis where nothing was recognised, so that the words count "
                f"as deleted): {name_some(absent)}"
            )
        if extra:
            said.append(
                f"{len(extra)} utterances of {self.path} are not in {references} and are left out: "
                f"{name_some(extra)}"
            )
        return said
