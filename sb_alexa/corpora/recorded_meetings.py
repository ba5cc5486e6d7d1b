"""Meetings of recorded speech, laid out like LibriCSS: real voices with a known overlap."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sb_alexa.corpora.audio import AudioError
from sb_alexa.corpora.libricss_files import CONDITIONS
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.meeting_plan import MeetingSizes, plan_meetings
from sb_alexa.corpora.recorded_speech import scan_speech, usable_utterances
from sb_alexa.corpora.resampling import resample
from sb_alexa.corpora.session_corpus import (
    SessionCorpus,
    check_minutes,
    check_number,
    checked_conditions,
)
from sb_alexa.corpora.session_folder import (
    PLACE,
    ROOM,
    HeardTurn,
    Session,
    at_level,
    draw_level_dbfs,
)
from sb_alexa.corpora.source_audio import read_source
from sb_alexa.corpora.speaker_table import write_speaker_table
from sb_alexa.corpora.stamp import fingerprint
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ

logger = logging.getLogger(__name__)

# Raised whenever the same arguments and speech give other bytes than before.
_FORMAT = 1


def write_recorded_meetings(
    folder: str | Path,
    speech: str | Path,
    *,
    seed: int = 0,
    conditions: Sequence[str] = CONDITIONS,
    num_sessions: int = 10,
    minutes_per_session: float = 1.0,
    speakers_per_session: int = 8,
    max_turn_s: float = 15.0,
    progress: bool = True,
) -> Path:
    """Write meetings of recorded utterances in LibriCSS's layout; return their folder.

    ::

        <condition>/overlap_ratio_<%>_sil<s>_<s>_session<k>_actual<%>/
            record/raw_recording.wav             16 kHz, 16 bit, one channel: the turns and noise
            clean/mix.wav                        the same turns added up without noise
            transcription/meeting_info.txt       start, end, speaker, utterance id, words
            transcription/utterance_groups.txt   start, end, number of turns
        speakers.csv, synthetic_corpus.json

    A turn is a whole utterance, the silence at its edges included, like in LibriCSS; never do three
    talk at once, and nobody speaks twice in a row. Talkers differ by at most 5 dB; each keeps the
    level throughout a session. No echo is added, recordings have their own; the recording, not the
    clean sum, has a faint noise that goes on where nobody speaks.

    Sessions with the same number have the same readers in all conditions, and utterances that no
    other number has, so those of session 0, which recipes use for development, are not heard in
    testing. In a session an utterance is used once; among the conditions, again only after all
    others of its reader in sessions of this number.

    A finished corpus made with the same arguments of the same speech is recognised and left as it
    is. An interrupted one is resumed session by session. The bytes of a session depend on
    `num_sessions` and `conditions` too: they decide who may say what.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to write; new, empty, or an earlier corpus made with the same arguments.
    speech : str or pathlib.Path
        Folder of a split in LibriSpeech's layout, such as `LibriSpeech/dev-clean`.
    seed : int
        Seed of who says what, times, levels and noise.
    conditions : sequence of str
        Some of `0L`, `0S` (no overlap; long and short silences), `OV10`, `OV20`, `OV30`, `OV40`.
    num_sessions : int
        Sessions of each condition, 1 to 999.
    minutes_per_session : float
        Approximate length of a session in minutes, at least 0.1. A session has 4 turns at least.
    speakers_per_session : int
        Readers in a session, at least 2; all of them where there are fewer.
    max_turn_s : float
        Longer utterances are left out, and counted in the log.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    AudioError
        If an utterance that is mixed is damaged or silent.
    CorpusError
        If there are no usable utterances, all are of one reader, their sample rates differ, or
        there are too few.
    ValueError
        If an argument is out of range, or the folder holds something else.

    Reference
    ---------
    Z. Chen et al., "Continuous speech separation: dataset and analysis", ICASSP 2020
    (arXiv 2001.11482). Deviations: sessions are shorter, utterances are added up instead of played
    by loudspeakers in a room, microphones are one instead of seven, and a third talker never joins
    in (in LibriCSS one does in some 60 groups).
    """
    folder = Path(folder).resolve()
    speech = Path(speech).expanduser().absolute()
    sizes = MeetingSizes(
        tuple(checked_conditions(conditions)),
        num_sessions,
        minutes_per_session,
        speakers_per_session,
        seed,
    )
    check_number("num_sessions", num_sessions, 1)
    check_number("speakers_per_session", speakers_per_session, 2)
    check_minutes(minutes_per_session)
    if not 0.0 < max_turn_s < float("inf"):
        raise ValueError(f"max_turn_s must be a number of seconds > 0, got {max_turn_s}")
    split = scan_speech(speech)
    arguments: dict[str, Any] = {
        "format": _FORMAT,
        "layout": "LibriCSS",
        "seed": seed,
        "conditions": list(sizes.conditions),
        "num_sessions": num_sessions,
        "minutes_per_session": minutes_per_session,
        "speakers_per_session": speakers_per_session,
        "max_turn_s": max_turn_s,
        "speech_sha256": fingerprint([*split.audio.values(), *split.transcripts]),
    }
    corpus = SessionCorpus(folder, arguments)
    if corpus.is_finished:
        return folder
    utterances = usable_utterances(speech, split, max_turn_s=max_turn_s)
    readers = sorted({utterance.speaker for utterance in utterances})
    if len(readers) < speakers_per_session:
        logger.warning(
            "%s has %d readers, fewer than speakers_per_session=%d: every session may have all",
            speech,
            len(readers),
            speakers_per_session,
        )
    plans = plan_meetings(utterances, sizes)
    corpus.write(
        _heard(corpus.missing, plans),
        lambda path: write_speaker_table(
            path,
            readers,
            speakers_txt=speech.parent / "SPEAKERS.TXT",
            speakers_csv=speech.parent / "speakers.csv",
        ),
        doing="mixing",
        progress=progress,
    )
    return folder


def _heard(
    sessions: Sequence[Session], plans: Mapping[Session, Sequence[Utterance]]
) -> Iterator[tuple[Session, list[HeardTurn]]]:
    for session in sessions:
        turns = plans[session]
        seats = sorted({utterance.speaker for utterance in turns})
        yield session, [_hear(session, seats.index(one.speaker), one) for one in turns]


def _hear(session: Session, seat: int, utterance: Utterance) -> HeardTurn:
    """Read an utterance and set its level to that of its speaker's seat in the session."""
    source = read_source(utterance)
    samples = source.samples
    if not samples.any():
        raise AudioError("silent: its level has no meaning; leave it out", utterance.path)
    if source.sample_rate != SAMPLE_RATE_HZ:
        samples = resample(samples, rate_hz=source.sample_rate, new_rate_hz=SAMPLE_RATE_HZ)
    level_dbfs = draw_level_dbfs(session.stream(ROOM), session.stream(PLACE, seat))
    samples = at_level(samples, level_dbfs)
    text = " ".join(utterance.text.split())
    return HeardTurn(utterance.speaker, utterance.id, text, samples, samples)
