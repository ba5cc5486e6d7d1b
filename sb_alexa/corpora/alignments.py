"""Word times of a corpus in LibriSpeech's layout, from its `alignments/` folder."""

from __future__ import annotations

import csv
import os
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.turn import Word

_SUFFIX = ".words.csv"
_COLUMNS = ["utterance", "word", "start_s", "end_s"]
# A chapter takes some 100 KB; mixtures jump between chapters, so several are kept.
_MAX_CHAPTERS = 256


class WordTimes(Protocol):
    """Knows when the words of utterances are said."""

    def words(self, utterance: Utterance) -> tuple[Word, ...]:
        """Words in seconds from the start of the utterance's audio; empty if not known."""
        ...


class AlignmentFolder:
    """Word times written as `<split>/<chapter>.words.csv`, as the embedded corpus has them.

    Arguments
    ---------
    folder : str or path-like
        The folder `alignments` of the corpus. Utterances it does not mention have no word times.

    Raises
    ------
    CorpusError
        If it is no folder with such files, or, when words are asked for, a file is damaged.

    Example
    -------
    >>> folder = getfixture("tmp_path") / "alignments" / "train"
    >>> folder.mkdir(parents=True)
    >>> _ = (folder / "7-17.words.csv").write_text(
    ...     "utterance,word,start_s,end_s\\n7-17-0000,STOP,0.2500,0.7500\\n"
    ... )
    >>> AlignmentFolder(folder.parent).words(Utterance("7-17-0000", 1.0, "a.flac", "7", "STOP"))
    (Word(text='STOP', start_s=0.25, end_s=0.75),)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._files = {
            path.name.removesuffix(_SUFFIX): path
            for path in sorted(Path(folder).rglob(f"*{_SUFFIX}"))
        }
        if not self._files:
            raise CorpusError(
                f"{folder} holds no word times; expected <split>/<reader>-<chapter>{_SUFFIX}"
            )
        self._chapters: OrderedDict[str, dict[str, tuple[Word, ...]]] = OrderedDict()

    def words(self, utterance: Utterance) -> tuple[Word, ...]:
        """Words in seconds from the start of the utterance's audio; empty if not known."""
        chapter = utterance.id.rpartition("-")[0]
        if chapter not in self._files:
            return ()
        if chapter not in self._chapters:
            self._chapters[chapter] = _read_chapter(self._files[chapter])
            if len(self._chapters) > _MAX_CHAPTERS:
                self._chapters.popitem(last=False)
        self._chapters.move_to_end(chapter)
        return self._chapters[chapter].get(utterance.id, ())


def _read_chapter(path: Path) -> dict[str, tuple[Word, ...]]:
    words: dict[str, tuple[Word, ...]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        if next(reader, None) != _COLUMNS:
            raise CorpusError(f"{path}: the header must be {','.join(_COLUMNS)}")
        for row in reader:
            try:
                utterance, text, start, end = row
                word = Word(text, float(start), float(end))
            except ValueError as error:
                raise CorpusError(f"{path}, line {reader.line_num}: {error}") from error
            words[utterance] = (*words.get(utterance, ()), word)
    return words
