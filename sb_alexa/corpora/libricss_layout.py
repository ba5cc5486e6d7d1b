"""The embedded corpus on disk, laid out like LibriCSS: conversations with a known overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes
from sb_alexa.corpora.libricss_files import CONDITIONS
from sb_alexa.corpora.sentences import (
    CommandGrammar,
    SentenceSource,
    TextSentences,
    draw_several,
)
from sb_alexa.corpora.session_corpus import (
    FEWEST_TURNS,
    SessionCorpus,
    check_minutes,
    check_number,
    checked_conditions,
)
from sb_alexa.corpora.session_folder import PLAN, HeardTurn, Session
from sb_alexa.corpora.spoken_corpus import FIRST_SPEAKER
from sb_alexa.corpora.spoken_session import SpokenSession, speak_turns
from sb_alexa.corpora.synthesis import require_espeak
from sb_alexa.corpora.synthetic_folder import speakers_csv, text_sha256, write_text
from sb_alexa.corpora.voices import Speaker, make_speakers

# Raised whenever the same arguments give other bytes than before.
_FORMAT = 1
# The readers of the default test-clean, balanced over accents and genders.
_NUM_SPEAKERS = 32
# Means over a corpus of six conditions: silence at the edges of a turn, and how long the speech
# lasts in relation to what the speaker's usual rate promises.
_EDGES_S, _SPEECH_FACTOR = 0.59, 0.785


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
        "conditions": checked_conditions(conditions),
        "num_sessions": num_sessions,
        "minutes_per_session": minutes_per_session,
        "speakers_per_session": speakers_per_session,
        "sentences_per_turn": sentences_per_turn,
        "text_sha256": text_sha256(text_file),
    }
    check_number("num_sessions", num_sessions, 1)
    check_number("speakers_per_session", speakers_per_session, 2, _NUM_SPEAKERS)
    check_number("sentences_per_turn", sentences_per_turn, 1)
    check_minutes(minutes_per_session)
    source = CommandGrammar() if text_file is None else TextSentences.from_file(text_file)
    pool = make_speakers(_NUM_SPEAKERS, seed=seed, first_id=FIRST_SPEAKER["test"])
    corpus = SessionCorpus(folder, arguments)
    if corpus.is_finished:
        return folder
    require_espeak()
    plans = [_plan(session, pool, source, arguments) for session in corpus.missing]
    corpus.write(
        _spoken(plans, num_workers),
        lambda path: write_text(path, speakers_csv(pool)),
        doing="speaking",
        progress=progress,
    )
    return folder


def _plan(
    session: Session, pool: Sequence[Speaker], source: SentenceSource, arguments: dict[str, Any]
) -> SpokenSession:
    """Draw who says what until the session is about as long as it shall be."""
    rng = session.stream(PLAN)
    present = rng.choice(len(pool), size=arguments["speakers_per_session"], replace=False)
    per_second, per_turn_s = session.timing.mean_step
    turns: list[tuple[Speaker, str]] = []
    left_s = 60.0 * arguments["minutes_per_session"]
    while left_s > 0 or len(turns) < FEWEST_TURNS:
        speaker = _next_speaker(pool, present, turns, rng)
        said = draw_several(source, "test", rng, most=arguments["sentences_per_turn"])
        about_s = _EDGES_S + _SPEECH_FACTOR * len(said.split()) * 60 / speaker.rate_wpm
        left_s -= per_second * about_s + per_turn_s
        turns.append((speaker, said))
    return SpokenSession(session, tuple(turns))


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
    plans: Sequence[SpokenSession], num_workers: int | None
) -> Iterator[tuple[Session, list[HeardTurn]]]:
    """Sessions as soon as all their speakers have spoken."""
    jobs = [(plan, speaker) for plan in plans for speaker in plan.speakers]
    waiting = {plan.session: len(plan.speakers) for plan in plans}
    spoken: dict[Session, list[tuple[int, HeardTurn]]] = {plan.session: [] for plan in plans}
    with closing(map_in_fresh_processes(speak_turns, jobs, num_workers=num_workers)) as results:
        for index, turns in results:
            session = jobs[index][0].session
            spoken[session] += turns
            waiting[session] -= 1
            if not waiting[session]:
                in_order = sorted(spoken.pop(session), key=itemgetter(0))
                yield session, [turn for _, turn in in_order]
