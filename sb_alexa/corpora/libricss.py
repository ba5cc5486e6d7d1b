"""Preparation of LibriCSS, whole or in part, and of corpora laid out like it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sb_alexa.corpora.audio import AudioInfo, check_audio
from sb_alexa.corpora.libricss_files import (
    AUDIO_FILES,
    CONDITIONS,
    MEETING_INFO,
    PUBLISHED_NUM_SESSIONS,
    SessionFiles,
    find_root,
    listing,
    read_turns,
    scan_sessions,
)
from sb_alexa.corpora.mixture_manifest import RecordedMixture, write_mixture_manifest
from sb_alexa.corpora.stamp import Journal, Stamp, fingerprint, sizes_bytes
from sb_alexa.corpora.text_files import CorpusError, name_some
from sb_alexa.corpora.utterance_groups import ConditionCounts, count_session, utterance_groups
from sb_alexa.multitalker.arrangement import arrange_turns
from sb_alexa.turn import Turn

__all__ = [
    "ConditionCounts",
    "CorpusError",
    "PreparedLibriCSS",
    "prepare_libricss",
]

logger = logging.getLogger(__name__)

_STAMP = "libricss.stamp.json"
# Raise it when a change of this package changes what is written: older preparations are redone.
_FORMAT = 1
_MANIFESTS = ("dev_groups", "test_groups", "dev_sessions", "test_sessions")
# A turn may end this much after the audio does; it is then shortened. More is an error.
_END_TOLERANCE_S = 0.1


@dataclass(frozen=True)
class PreparedLibriCSS:
    """Where the preparation put what.

    Arguments
    ---------
    data_root : Path
        Takes the place of `$data_root` in the manifests (`read_mixture_manifest`).
    dev_groups, test_groups : Path
        Utterance groups: sessions split where nobody speaks.
    dev_sessions, test_sessions : Path
        The same sessions whole, for continuous recognition.
    counts : dict of str to ConditionCounts
        For every condition that is there, development and test together.
    """

    data_root: Path
    dev_groups: Path
    test_groups: Path
    dev_sessions: Path
    test_sessions: Path
    counts: dict[str, ConditionCounts]


def prepare_libricss(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    *,
    audio: str = "record",
    channel: int = 0,
    dev_sessions: Sequence[int] = (0,),
    num_workers: int | None = None,
    skip_prep: bool = False,
) -> PreparedLibriCSS:
    """Write manifests of LibriCSS or a corpus laid out like it.

    Nothing is done twice: when the arguments and the names and sizes of the files are those of a
    finished run it returns at once. Any part of the corpus will do; what differs from the published
    number of sessions is said.

    Utterance groups reach from the start of their first turn to the end of their last one. In the
    real corpus a third talker joins in now and then (in some 60 groups, for about a second).
    Two channels cannot hold such a group without a mistake, but it is scored like any other, so it
    stays in the manifests and is said; whoever needs targets for two channels leaves out mixtures
    whose `fits_two_channels` is false.

    Arguments
    ---------
    data_folder : str or path-like
        The folder that holds `0L`, `0S`, `OV10` and so on, or its parent that holds `for_release`.
    save_folder : str or path-like
        Where to write.
    audio : str
        `record`, the far microphones, or `mix`, the sources added up without room and noise.
    channel : int
        Channel of the audio, from 0.
    dev_sessions : sequence of int
        Numbers of the sessions used for development; all others are for testing.
    num_workers : int, optional
        Threads that check audio; by default one for every processor, up to 16.
    skip_prep : bool
        Return what an earlier run prepared without looking at the data.

    Returns
    -------
    prepared : PreparedLibriCSS
        Paths and counts.

    Raises
    ------
    CorpusError
        If the folder does not exist, is empty or is not LibriCSS; if a session lacks its audio or
        its turns, or its audio is damaged, ends before its turns do or lacks the channel (all such
        sessions are named); or if a turn cannot be read or does not end after its start.
    """
    arguments = _checked_arguments(audio, channel, dev_sessions)
    data = Path(data_folder).expanduser().absolute()
    save = Path(save_folder).expanduser().absolute()
    stamp = Stamp.read(save / _STAMP)
    if skip_prep:
        if stamp is None or stamp.arguments != arguments or not _has_outputs(save, stamp):
            raise CorpusError(
                f"skip_prep=True, but {save} does not hold a finished preparation with the "
                f"arguments {arguments}; run it once with skip_prep=False"
            )
        return _prepared(data, save, stamp)
    sessions = scan_sessions(data, find_root(data))
    inputs = fingerprint(listing(sessions))
    if stamp is not None and stamp.is_current(save, arguments, inputs):
        logger.info("%s is already prepared in %s", data, save)
    else:
        stamp = _prepare(data, save, sessions, arguments, inputs, num_workers)
    return _prepared(data, save, stamp)


def _checked_arguments(audio: str, channel: int, dev_sessions: Sequence[int]) -> dict[str, Any]:
    """The arguments that decide what is written, as the stamp keeps them."""
    if audio not in AUDIO_FILES:
        raise ValueError(f"audio={audio!r} must be one of {', '.join(AUDIO_FILES)}")
    if not isinstance(channel, int) or channel < 0:
        raise ValueError(f"channel={channel!r} must be a whole number of 0 or more")
    if any(not isinstance(number, int) or number < 0 for number in dev_sessions):
        raise ValueError(
            f"dev_sessions={list(dev_sessions)} must hold numbers of sessions, such as [0]"
        )
    return {
        "format": _FORMAT,
        "audio": audio,
        "channel": channel,
        "dev_sessions": sorted(set(dev_sessions)),
    }


def _has_outputs(save: Path, stamp: Stamp) -> bool:
    return stamp.outputs == sizes_bytes(save, stamp.outputs)


def _prepare(
    data: Path,
    save: Path,
    sessions: Sequence[SessionFiles],
    arguments: dict[str, Any],
    inputs: str,
    num_workers: int | None,
) -> Stamp:
    _check_pairs(data, sessions, AUDIO_FILES[arguments["audio"]])
    turns = {session.name: read_turns(data, session) for session in sessions}
    infos = _check_session_audio(data, save, sessions, arguments, num_workers)
    turns = _fit_to_audio(turns, infos)
    manifests: dict[str, list[RecordedMixture]] = {name: [] for name in _MANIFESTS}
    counts: dict[str, ConditionCounts] = {}
    for session in sessions:
        whole, groups = _mixtures(data, session, arguments, infos[session.name], turns)
        role = "dev" if session.number in arguments["dev_sessions"] else "test"
        manifests[f"{role}_sessions"].append(whole)
        manifests[f"{role}_groups"].extend(groups)
        before = counts.get(session.condition, ConditionCounts())
        counts[session.condition] = before + count_session(whole.turns, whole.duration_s)
    _say_what_is_unusual(manifests, counts)
    outputs = [f"{name}.jsonl" for name in _MANIFESTS]
    for name, output in zip(_MANIFESTS, outputs, strict=True):
        write_mixture_manifest(save / output, manifests[name], data)
    result = {"counts": {condition: asdict(found) for condition, found in counts.items()}}
    stamp = Stamp(arguments, inputs, sizes_bytes(save, outputs), result)
    stamp.write(save / _STAMP)
    return stamp


def _check_pairs(data: Path, sessions: Sequence[SessionFiles], audio_file: str) -> None:
    problems = [
        f"{session.folder} lacks {file}"
        for session in sessions
        for file in (audio_file, MEETING_INFO)
        if file not in session.sizes_bytes
    ]
    if problems:
        raise CorpusError(
            f"{data}: {len(problems)} file(s) are missing: {name_some(problems)}. Copy the corpus "
            "again, or delete these sessions to go on without them"
        )


def _check_session_audio(
    data: Path,
    save: Path,
    sessions: Sequence[SessionFiles],
    arguments: dict[str, Any],
    num_workers: int | None,
) -> dict[str, AudioInfo]:
    file = AUDIO_FILES[arguments["audio"]]
    paths = {session.name: session.path(file) for session in sessions}
    # Sessions are plain WAV: what can be wrong with one shows at its end.
    infos, bad = check_audio(
        data,
        [(session.path(file), session.sizes_bytes[file]) for session in sessions],
        Journal(save / "audio_check.jsonl"),
        num_workers=num_workers,
        full_decode=False,
    )
    problems = [f"{path} ({reason})" for path, reason in sorted(bad.items())]
    problems += [
        f"{path} (has {info.num_channels} channel(s), none is number {arguments['channel']})"
        for path, info in infos.items()
        if arguments["channel"] >= info.num_channels
    ]
    if problems:
        raise CorpusError(
            f"{data}: {len(problems)} recording(s) cannot be used: {name_some(problems)}. Copy "
            "the corpus again, or delete these sessions to go on without them"
        )
    return {name: infos[path] for name, path in paths.items()}


def _fit_to_audio(
    turns: Mapping[str, Sequence[Turn]], infos: Mapping[str, AudioInfo]
) -> dict[str, tuple[Turn, ...]]:
    """The turns, shortened where rounding lets them end just after the audio."""
    problems = [
        f"{name}: {turn.speaker} speaks from {turn.start_s} to {turn.end_s} s, the audio lasts "
        f"{infos[name].duration_s:.3f} s"
        for name, found in turns.items()
        for turn in found
        if turn.start_s >= infos[name].duration_s
        or turn.end_s > infos[name].duration_s + _END_TOLERANCE_S
    ]
    if problems:
        raise CorpusError(
            f"{len(problems)} turn(s) end after their recording: {name_some(problems)}. Copy the "
            "audio again, it may be truncated"
        )
    return {
        name: tuple(_ended_by(turn, infos[name].duration_s) for turn in found)
        for name, found in turns.items()
    }


def _ended_by(turn: Turn, end_s: float) -> Turn:
    if turn.end_s <= end_s:
        return turn
    words = tuple(
        replace(word, start_s=min(word.start_s, end_s), end_s=min(word.end_s, end_s))
        for word in turn.words
    )
    return replace(turn, end_s=end_s, words=words)


def _mixtures(
    data: Path,
    session: SessionFiles,
    arguments: dict[str, Any],
    info: AudioInfo,
    turns: Mapping[str, tuple[Turn, ...]],
) -> tuple[RecordedMixture, list[RecordedMixture]]:
    """The session whole, and its utterance groups."""
    whole = RecordedMixture(
        id=session.name,
        session=session.name,
        condition=session.condition,
        path=str(data / session.path(AUDIO_FILES[arguments["audio"]])),
        channel=arguments["channel"],
        start_s=0.0,
        end_s=info.duration_s,
        turns=turns[session.name],
    )
    groups = []
    for index, group in enumerate(utterance_groups(whole.turns)):
        start_s, end_s = group[0].start_s, max(turn.end_s for turn in group)
        shifted = tuple(_rounded(turn.shifted(-start_s)) for turn in group)
        name = f"{session.name}-{index:03d}"
        groups.append(replace(whole, id=name, start_s=start_s, end_s=end_s, turns=shifted))
    return whole, groups


def _rounded(turn: Turn) -> Turn:
    """The turn in whole microseconds: a difference of times has digits that mean nothing."""
    words = tuple(
        replace(word, start_s=round(word.start_s, 6), end_s=round(word.end_s, 6))
        for word in turn.words
    )
    return replace(turn, start_s=round(turn.start_s, 6), end_s=round(turn.end_s, 6), words=words)


def _beyond_two(groups: Iterable[RecordedMixture]) -> list[RecordedMixture]:
    return [group for group in groups if not group.fits_two_channels]


def _say_what_is_unusual(
    manifests: Mapping[str, Sequence[RecordedMixture]], counts: Mapping[str, ConditionCounts]
) -> None:
    found = {condition: counts.get(condition, ConditionCounts()) for condition in CONDITIONS}
    differences = [
        f"{condition} {count.num_sessions}"
        for condition, count in found.items()
        if count.num_sessions != PUBLISHED_NUM_SESSIONS
    ]
    if differences:
        logger.warning(
            "Not the %d sessions published for each condition (fine for a subset): %s",
            PUBLISHED_NUM_SESSIONS,
            "; ".join(differences),
        )
    crowded = _beyond_two([*manifests["dev_groups"], *manifests["test_groups"]])
    if crowded:
        logger.warning(
            "Three talk at once in %d utterance group(s); they stay in the manifests for scoring: "
            "%s. The first: %s",
            len(crowded),
            name_some([group.id for group in crowded]),
            _collision(crowded[0]),
        )


def _collision(group: RecordedMixture) -> str:
    """Which three turns talk at once first, in seconds from the start of the session."""
    try:
        arrange_turns(group.session_turns)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"no three talk at once in {group.id}")


def _prepared(data: Path, save: Path, stamp: Stamp) -> PreparedLibriCSS:
    manifests = {name: save / f"{name}.jsonl" for name in _MANIFESTS}
    counts = {name: ConditionCounts(**count) for name, count in stamp.result["counts"].items()}
    return PreparedLibriCSS(data_root=data, counts=counts, **manifests)
