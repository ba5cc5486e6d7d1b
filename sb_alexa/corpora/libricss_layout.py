"""The embedded corpus on disk, laid out like LibriCSS: conversations with a known overlap."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.libricss_files import AUDIO_FILES, CONDITIONS, read_turns, scan_sessions
from sb_alexa.corpora.librispeech_layout import FIRST_READER
from sb_alexa.corpora.reader_folder import UNFINISHED
from sb_alexa.corpora.sentences import CommandGrammar, SentenceSource, TextSentences
from sb_alexa.corpora.session_folder import (
    PLAN,
    SessionPlan,
    SpokenTurn,
    speak_turns,
    write_session,
)
from sb_alexa.corpora.session_timeline import Timing
from sb_alexa.corpora.synthesis import require_espeak
from sb_alexa.corpora.synthetic_folder import (
    SPEAKERS_CSV,
    read_stamp,
    speakers_csv,
    text_sha256,
    write_stamp,
    write_text,
)
from sb_alexa.corpora.utterance_groups import ConditionCounts, count_session
from sb_alexa.corpora.voices import Speaker, make_speakers

# Raised whenever the same arguments give other bytes than before.
_FORMAT = 1
# Nominal ratios and silences are those of LibriCSS; so are, about, the shares of turns that overlap
# the ones before them: 0.50, 0.65, 0.74 and 0.78, counted in its reference transcriptions.
TIMINGS = {
    "0L": Timing(0.0, 0.0, (2.9, 3.0)),
    "0S": Timing(0.0, 0.0, (0.1, 0.5)),
    "OV10": Timing(0.1, 0.50, (0.1, 1.0)),
    "OV20": Timing(0.2, 0.65, (0.1, 1.0)),
    "OV30": Timing(0.3, 0.74, (0.1, 1.0)),
    "OV40": Timing(0.4, 0.78, (0.1, 1.0)),
}
# The readers of the default test-clean, balanced over accents and genders.
_NUM_SPEAKERS = 32
# Means over a corpus of six conditions: silence at the edges of a turn, and how long the speech
# lasts in relation to what the speaker's usual rate promises.
_EDGES_S, _SPEECH_FACTOR = 0.59, 0.785
_MIN_MINUTES = 0.1
_MAX_NUMBER = 999
# About this many turns a session are needed for its overlap ratio to be reached.
_FEWEST_TURNS = 4


def write_libricss(
    folder: str | Path,
    *,
    seed: int = 0,
    conditions: Sequence[str] = CONDITIONS,
    num_sessions: int = 10,
    minutes_per_session: float = 1.0,
    speakers_per_session: int = 8,
    sentences_per_turn: int = 1,
    text_file: str | Path | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write conversations of synthetic speakers in LibriCSS's layout; return their folder.

    ::

        <condition>/overlap_ratio_<%>_sil<s>_<s>_session<k>_actual<%>/
            record/raw_recording.wav             16 kHz, 16 bit, one channel: room and noise
            clean/mix.wav                        the same turns added up without room and noise
            transcription/meeting_info.txt       start, end, speaker, utterance id, words
            transcription/words.txt              start, end, utterance id, word
            transcription/utterance_groups.txt   start, end, number of turns
        speakers.csv, synthetic_corpus.json

    Speakers and sentences are those of the test partition: `write_librispeech` never uses them for
    training or development, and with the same seed its `test-clean` has the same speakers. A turn
    lasts from the first sample of an utterance to its last, like in LibriCSS, the silence at its
    edges included; never do three talk at once. A session has a room and a noise of its own, and
    each of its speakers a place in the room.

    A finished corpus made with the same arguments is recognised and left as it is. An interrupted
    one is resumed session by session. The bytes of a session depend neither on the number of
    workers nor on interruptions, nor on which other sessions are written.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to write; new, empty, or an earlier corpus made with the same arguments.
    seed : int
        Seed of speakers, sentences, times and recording conditions.
    conditions : sequence of str
        Some of `0L`, `0S` (no overlap; long and short silences), `OV10`, `OV20`, `OV30`, `OV40`.
    num_sessions : int
        Sessions of each condition, 1 to 999.
    minutes_per_session : float
        Approximate length of a session in minutes, at least 0.1. LibriCSS has 10; one minute makes
        about 560 utterance groups in the sessions 1 to 9.
    speakers_per_session : int
        People in a conversation, 2 to 32.
    sentences_per_turn : int
        Most sentences that are said in one turn, without a pause; 1 makes turns as long as the
        utterances of `write_librispeech`, 3 makes them 2 to 8 s.
    text_file : str or pathlib.Path, optional
        English text whose sentences are read, instead of household commands.
    num_workers : int, optional
        Processes at a time. Default: the number of processors.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ImportError
        If the speech engine is not installed.
    ValueError
        If an argument is out of range, or the folder holds something else.

    Reference
    ---------
    Z. Chen et al., "Continuous speech separation: dataset and analysis", ICASSP 2020
    (arXiv 2001.11482). Sessions are shorter, speakers synthetic, microphones one instead of seven,
    and a third talker never joins in (in LibriCSS one does in some 60 groups).

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as temporary:
    ...     corpus = write_libricss(
    ...         temporary,
    ...         conditions=["0S"],
    ...         num_sessions=1,
    ...         minutes_per_session=0.1,
    ...         progress=False,
    ...     )
    ...     [path.name for path in corpus.glob("0S/*")]
    ['overlap_ratio_0.0_sil0.1_0.5_session0_actual0.0']
    """
    folder = Path(folder).resolve()
    text_file = None if text_file is None else str(Path(text_file).resolve())
    arguments: dict[str, Any] = {
        "format": _FORMAT,
        "layout": "LibriCSS",
        "seed": seed,
        "conditions": _checked_conditions(conditions),
        "num_sessions": num_sessions,
        "minutes_per_session": minutes_per_session,
        "speakers_per_session": speakers_per_session,
        "sentences_per_turn": sentences_per_turn,
        "text_sha256": text_sha256(text_file),
    }
    _check_sizes(num_sessions, minutes_per_session, speakers_per_session, sentences_per_turn)
    source = CommandGrammar() if text_file is None else TextSentences.from_file(text_file)
    pool = make_speakers(_NUM_SPEAKERS, seed=seed, first_id=FIRST_READER["test"])
    plans = [
        _plan(condition, number, pool, source, arguments)
        for condition in arguments["conditions"]
        for number in range(num_sessions)
    ]
    stamp = read_stamp(folder, arguments)
    missing = [plan for plan in plans if not _is_whole(folder, plan, stamp)]
    if stamp.get("complete") and not missing and (folder / SPEAKERS_CSV).is_file():
        return folder
    require_espeak()
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    # Damaged sessions go before the stamp does: a resumed run trusts the folders it finds.
    for plan in missing:
        leftover = plan.find(folder)
        if leftover is not None:
            shutil.rmtree(leftover)
    write_stamp(folder, {"arguments": arguments, "complete": False})
    with tqdm(
        total=len(plans),
        initial=len(plans) - len(missing),
        unit="session",
        desc="speaking",
        disable=not progress,
        dynamic_ncols=True,
    ) as bar:
        for plan, spoken in _spoken(missing, num_workers):
            write_session(folder, plan, spoken)
            bar.update()
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    write_text(folder / SPEAKERS_CSV, speakers_csv(pool))
    _write_summary(folder, plans, arguments)
    return folder


def _checked_conditions(conditions: Sequence[str]) -> list[str]:
    if isinstance(conditions, str) or not conditions:
        raise ValueError(f"conditions={conditions!r} must be a list such as ['0S', 'OV20']")
    strange = [condition for condition in conditions if condition not in TIMINGS]
    if strange or len(set(conditions)) < len(conditions):
        raise ValueError(
            f"conditions={list(conditions)} must be different ones of {', '.join(TIMINGS)}"
        )
    return [condition for condition in TIMINGS if condition in conditions]


def _check_sizes(
    num_sessions: int,
    minutes_per_session: float,
    speakers_per_session: int,
    sentences_per_turn: int,
) -> None:
    for name, value, least, most in (
        ("num_sessions", num_sessions, 1, _MAX_NUMBER),
        ("speakers_per_session", speakers_per_session, 2, _NUM_SPEAKERS),
        ("sentences_per_turn", sentences_per_turn, 1, _MAX_NUMBER),
    ):
        if not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{name} must be a whole number within {least}..{most}, got {value}")
    if not _MIN_MINUTES <= minutes_per_session < float("inf"):
        raise ValueError(
            f"minutes_per_session must be >= {_MIN_MINUTES}, got {minutes_per_session}"
        )


def _plan(
    condition: str,
    number: int,
    pool: Sequence[Speaker],
    source: SentenceSource,
    arguments: dict[str, Any],
) -> SessionPlan:
    """Draw who says what until the session is about as long as it shall be."""
    timing = TIMINGS[condition]
    index = CONDITIONS.index(condition)
    plan = SessionPlan(condition, index, number, timing, (), arguments["seed"])
    rng = plan.stream(PLAN)
    present = rng.choice(len(pool), size=arguments["speakers_per_session"], replace=False)
    per_second, per_turn_s = timing.mean_step
    turns: list[tuple[Speaker, str]] = []
    left_s = 60.0 * arguments["minutes_per_session"]
    while left_s > 0 or len(turns) < _FEWEST_TURNS:
        speaker = _next_speaker(pool, present, turns, rng)
        num_sentences = int(rng.integers(1, arguments["sentences_per_turn"], endpoint=True))
        said = " ".join(source.draw("test", rng) for _ in range(num_sentences))
        about_s = _EDGES_S + _SPEECH_FACTOR * len(said.split()) * 60 / speaker.rate_wpm
        left_s -= per_second * about_s + per_turn_s
        turns.append((speaker, said))
    return SessionPlan(condition, index, number, timing, tuple(turns), arguments["seed"])


def _next_speaker(
    pool: Sequence[Speaker],
    present: np.ndarray,
    turns: Sequence[tuple[Speaker, str]],
    rng: np.random.Generator,
) -> Speaker:
    """Anybody but the one who has just spoken."""
    others = [pool[i] for i in present if not turns or pool[i] != turns[-1][0]]
    return others[int(rng.integers(len(others)))]


def _spoken(
    plans: Sequence[SessionPlan], num_workers: int | None
) -> Iterator[tuple[SessionPlan, list[SpokenTurn]]]:
    """Sessions as soon as all their speakers have spoken."""
    jobs = [(plan, speaker) for plan in plans for speaker in plan.speakers]
    waiting = {plan.name: len(plan.speakers) for plan in plans}
    spoken: dict[str, list[SpokenTurn]] = {plan.name: [] for plan in plans}
    with closing(map_in_fresh_processes(speak_turns, jobs, num_workers=num_workers)) as results:
        for index, turns in results:
            plan = jobs[index][0]
            spoken[plan.name] += turns
            waiting[plan.name] -= 1
            if not waiting[plan.name]:
                yield plan, spoken.pop(plan.name)


def _is_whole(folder: Path, plan: SessionPlan, stamp: dict[str, Any]) -> bool:
    """Whether the session lies on disk undamaged."""
    found = plan.find(folder)
    if found is None:
        return False
    # An interrupted run has no sizes yet, but what it finished was renamed in place as a whole.
    return not stamp.get("complete") or stamp["sessions"].get(plan.name) == _size_bytes(found)


def _files(session: Path) -> list[Path]:
    return sorted(path for path in session.rglob("*") if path.is_file())


def _size_bytes(session: Path) -> int:
    return sum(path.stat().st_size for path in _files(session))


def _write_summary(folder: Path, plans: Sequence[SessionPlan], arguments: dict[str, Any]) -> None:
    """Write the stamp that declares the corpus complete and says what it holds."""
    digest = hashlib.sha256()
    sizes = {}
    for plan in plans:
        session = plan.find(folder)
        assert session is not None
        sizes[plan.name] = _size_bytes(session)
        for path in _files(session):
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
    digest.update(hashlib.sha256((folder / SPEAKERS_CSV).read_bytes()).digest())
    counts = dict.fromkeys(arguments["conditions"], ConditionCounts())
    for files in scan_sessions(folder, folder):
        turns = read_turns(folder, files)
        recording = folder / files.path(AUDIO_FILES["record"])
        counts[files.condition] += count_session(turns, soundfile.info(recording).duration)
    stamp = {
        "arguments": arguments,
        "complete": True,
        "sha256": digest.hexdigest(),
        "conditions": {name: asdict(count) for name, count in counts.items()},
        "sessions": sizes,
    }
    write_stamp(folder, stamp)
