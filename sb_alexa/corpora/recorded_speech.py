"""Recorded utterances for those who make meetings of them: a split in LibriSpeech's layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from sb_alexa.corpora.audio import AudioError, AudioInfo, inspect_audio
from sb_alexa.corpora.librispeech_files import LAYOUT, SplitFiles, match_transcripts, scan_split
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.text_files import CorpusError, name_some

logger = logging.getLogger(__name__)


def scan_speech(speech: Path) -> SplitFiles:
    """List the files of the folder of a split, without opening any; paths are relative to it.

    Raises
    ------
    CorpusError
        If there is no such folder, or it does not hold readers.
    """
    if not speech.is_dir():
        raise CorpusError(
            f"speech={speech} is not a folder; give that of a split in LibriSpeech's layout, such "
            "as LibriSpeech/dev-clean"
        )
    try:
        return scan_split(speech, speech.parent, speech.name)
    except CorpusError as error:
        splits = sorted({path.parents[2].name for path in speech.glob("*/*/*/*.trans.txt")})
        if not splits:
            raise
        raise CorpusError(
            f"speech={speech} holds splits ({name_some(splits)}), not readers; give one of the "
            f"splits, such as {speech / splits[0]}"
        ) from error


def usable_utterances(speech: Path, split: SplitFiles, *, max_turn_s: float) -> list[Utterance]:
    """The utterances with sound audio and a transcript that are not too long, in order of id.

    What is left out is counted in the log.

    Arguments
    ---------
    speech : Path
        Folder of the split.
    split : SplitFiles
        What `scan_speech` found there; used up.
    max_turn_s : float
        Longest utterance, seconds.

    Raises
    ------
    CorpusError
        If there are none, or all are of one reader, or their sample rates differ.
    """
    infos: dict[str, AudioInfo] = {}
    bad: list[str] = []
    for path, _ in split.audio.values():
        try:
            # The end tells whether a file is cut; damage in its middle is found when it is mixed.
            infos[path] = inspect_audio(speech / path, full_decode=False)
        except AudioError as error:
            bad.append(f"{path} ({error.reason})")
    match_transcripts(split, speech, infos)
    said = [one for one in split.utterances if one.text]
    chosen = [one for one in said if one.duration_s <= max_turn_s]
    bad += [f"{path} (missing)" for path in split.missing_audio]
    reasons = [
        _reason("cannot be read", bad),
        _reason("without a transcript", split.without_transcript),
        _reason("with an empty transcript", split.empty),
        f"{len(said) - len(chosen)} longer than max_turn_s={max_turn_s} s",
    ]
    left_out = "; ".join(reason for reason in reasons if not reason.startswith("0 "))
    if not chosen:
        raise CorpusError(
            f"speech={speech} holds no usable utterance ({left_out}); give another folder, or a "
            f"larger max_turn_s where utterances are too long; {LAYOUT}"
        )
    if left_out:
        logger.warning("utterances of %s left out: %s", speech, left_out)
    _check_readers(speech, chosen, max_turn_s)
    _check_rates(speech, {infos[split.audio[one.id][0]].sample_rate: one.path for one in chosen})
    return sorted(chosen, key=lambda one: one.id)


def _reason(problem: str, paths: Sequence[str]) -> str:
    return f"{len(paths)} {problem}" + (f", namely {name_some(paths)}" if paths else "")


def _check_readers(speech: Path, chosen: Sequence[Utterance], max_turn_s: float) -> None:
    readers = {one.speaker for one in chosen}
    if len(readers) < 2:
        raise CorpusError(
            f"speech={speech} holds usable utterances (max_turn_s={max_turn_s}) of one reader "
            f"only, {readers.pop()}; a meeting takes two at least: give more of the split, or "
            "another one"
        )


def _check_rates(speech: Path, examples: dict[int, str]) -> None:
    if len(examples) > 1:
        named = ", ".join(f"{path} at {rate} Hz" for rate, path in sorted(examples.items()))
        raise CorpusError(
            f"speech={speech} holds utterances at different sample rates ({named}): a talker could "
            "be told by the band; convert them to one rate"
        )
