"""The embedded corpus on disk, laid out like VoxCeleb: many speakers, metadata, trial lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.sentences import CommandGrammar, SentenceSource, TextSentences
from sb_alexa.corpora.session_corpus import check_number
from sb_alexa.corpora.spoken_corpus import (
    FIRST_SPEAKER,
    MAX_SPEAKERS,
    SpokenCorpus,
    SpokenFolder,
    draw_sentences,
    put_in_place,
    write_samples,
)
from sb_alexa.corpora.synthesis import require_espeak
from sb_alexa.corpora.synthetic import in_room, speak
from sb_alexa.corpora.synthetic_folder import SPEAKERS_CSV, speakers_csv, text_sha256
from sb_alexa.corpora.trial_lists import draw_trials, trials_text
from sb_alexa.corpora.voices import ACCENTS, GENDERS, Speaker, check_hardness, make_speakers

# Raised whenever the same arguments give other bytes than before.
_FORMAT = 1
METADATA = "vox1_meta.csv"
# Non-targets of anybody, and, as in VoxCeleb1-H, of the same gender and nationality.
TRIAL_LIST, HARD_TRIAL_LIST = "veri_test.txt", "veri_test_hard.txt"
_METADATA_HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
_PREFIX = "id"
_NUM_GROUPS = len(ACCENTS) * len(GENDERS)
_MOST_UTTERANCES = 9999
# Every utterance has a room of its own, so a session is no more than a folder; several of them
# let target trials compare different ones, as they do in VoxCeleb.
_UTTERANCES_PER_SESSION = 2
# Target trials of each test speaker, and as many non-target ones.
_TRIALS_PER_SPEAKER = 40


@dataclass(frozen=True)
class SpeakerFolder(SpokenFolder):
    """Where a speaker lies in VoxCeleb's layout.

    Arguments
    ---------
    folder, speaker, num_utterances, seed
        See :class:`sb_alexa.corpora.spoken_corpus.SpokenFolder`.
    partition : str
        ``train`` or ``test``: where the sentences come from.
    """

    partition: str

    @property
    def id(self) -> str:
        """The speaker as VoxCeleb writes it, such as ``id10001``."""
        return f"{_PREFIX}{self.speaker.speaker_id}"

    @property
    def name(self) -> str:
        """Path of the audio, relative to the corpus."""
        return f"wav/{self.id}"

    @property
    def utterances(self) -> list[str]:
        """Session and number of each utterance, such as ``session000/00001``."""
        places = (divmod(index, _UTTERANCES_PER_SESSION) for index in range(self.num_utterances))
        return [f"session{session:03d}/{place + 1:05d}" for session, place in places]


def write_voxceleb(
    folder: str | Path,
    *,
    seed: int = 0,
    num_train_speakers: int = 96,
    num_test_speakers: int = 10 * _NUM_GROUPS,
    utterances_per_train_speaker: int = 43,
    utterances_per_test_speaker: int = 10,
    text_file: str | Path | None = None,
    hardness: Mapping[str, Mapping[str, float]] | None = None,
    num_workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the embedded corpus in VoxCeleb's layout; return its folder.

    ::

        wav/<speaker>/<session>/<nnnnn>.wav    16 kHz, mono, 16 bit
        vox1_meta.csv                          gender, nationality (here the accent), dev or test
        veri_test.txt                          trials `label a b` of the test speakers
        veri_test_hard.txt                     the same with non-targets of one accent and gender
        speakers.csv, synthetic_corpus.json

    Training speakers are the set `dev`, test speakers the set `test`: other people, other
    sentences. With 160 test speakers there are 10 of each accent and gender. Every utterance has a
    fresh room, noise and level: one room per speaker would give the speaker away.

    A finished corpus made with the same arguments is recognised and left as it is. An interrupted
    one is resumed speaker by speaker. The bytes depend on the arguments only, not on the number of
    workers and not on interruptions.

    Arguments
    ---------
    folder : str or pathlib.Path
        Where to write; new, empty, or an earlier corpus made with the same arguments.
    seed : int
        Seed of speakers, sentences, recording conditions and trials.
    num_train_speakers : int
        2 to 9999; multiples of 16 are balanced over accents and genders. Development speakers are
        taken from them when the corpus is prepared.
    num_test_speakers : int
        2 to 9999. Below 32 some accent and gender has no two, and `veri_test_hard.txt` is not
        written.
    utterances_per_train_speaker, utterances_per_test_speaker : int
        2 to 9999, of about 2.7 s.
    text_file : str or pathlib.Path, optional
        English text whose sentences are read, instead of household commands.
    hardness : mapping, optional
        Planted difficulty of groups, see :func:`sb_alexa.corpora.voices.make_speakers`.
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

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as temporary:
    ...     corpus = write_voxceleb(
    ...         temporary,
    ...         num_train_speakers=2,
    ...         num_test_speakers=2,
    ...         utterances_per_train_speaker=2,
    ...         utterances_per_test_speaker=3,
    ...         progress=False,
    ...     )
    ...     sorted(path.relative_to(corpus).as_posix() for path in corpus.glob("wav/id30001/*/*"))
    ...     len((corpus / "veri_test.txt").read_text().splitlines())
    ['wav/id30001/session000/00001.wav', 'wav/id30001/session000/00002.wav', \
'wav/id30001/session001/00001.wav']
    8
    """
    folder = Path(folder).resolve()
    text_file = None if text_file is None else str(Path(text_file).resolve())
    arguments: dict[str, Any] = {
        "format": _FORMAT,
        "layout": "VoxCeleb",
        "seed": seed,
        "num_train_speakers": num_train_speakers,
        "num_test_speakers": num_test_speakers,
        "utterances_per_train_speaker": utterances_per_train_speaker,
        "utterances_per_test_speaker": utterances_per_test_speaker,
        "text_sha256": text_sha256(text_file),
        "hardness": check_hardness(hardness),
    }
    for partition in ("train", "test"):
        for name, most in (
            (f"num_{partition}_speakers", MAX_SPEAKERS),
            (f"utterances_per_{partition}_speaker", _MOST_UTTERANCES),
        ):
            check_number(name, arguments[name], 2, most)
    source = CommandGrammar() if text_file is None else TextSentences.from_file(text_file)
    speakers = _folders(folder, arguments, hardness)
    tables = [METADATA, TRIAL_LIST, SPEAKERS_CSV]
    if num_test_speakers >= 2 * _NUM_GROUPS:
        tables.append(HARD_TRIAL_LIST)
    corpus = SpokenCorpus(folder, arguments, speakers, tables)
    if corpus.is_finished:
        return folder
    require_espeak()
    corpus.speak(
        write_speaker, partial(_sentences, source), num_workers=num_workers, progress=progress
    )
    corpus.finish(lambda durations_s: _tables(list(durations_s), tables, seed))
    return folder


def write_speaker(job: tuple[SpeakerFolder, list[str]]) -> None:
    """Speak the sentences of a speaker and write them; needs a fresh process.

    The last step, a rename, makes the speaker's folder appear as a whole.

    Arguments
    ---------
    job : (SpeakerFolder, list of str)
        The speaker and what is said.
    """
    one, sentences = job
    spoken = speak(one.speaker, sentences, seed=one.seed)
    for clean, name in zip(spoken, one.utterances, strict=True):
        path = one.unfinished / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_samples(path, in_room(clean, seed=one.seed), format="WAV")
    put_in_place([(one.unfinished, one.audio_folder)])


def _folders(
    folder: Path,
    arguments: Mapping[str, Any],
    hardness: Mapping[str, Mapping[str, float]] | None,
) -> list[SpeakerFolder]:
    seed = arguments["seed"]
    return [
        SpeakerFolder(
            folder, speaker, arguments[f"utterances_per_{partition}_speaker"], seed, partition
        )
        for partition in ("train", "test")
        for speaker in make_speakers(
            arguments[f"num_{partition}_speakers"],
            seed=seed,
            first_id=FIRST_SPEAKER[partition],
            hardness=hardness,
        )
    ]


def _sentences(source: SentenceSource, one: SpeakerFolder) -> list[str]:
    return draw_sentences(source, one.partition, one.speaker, one.num_utterances, seed=one.seed)


def _tables(speakers: list[SpeakerFolder], names: list[str], seed: int) -> dict[str, str]:
    """Content of the metadata, the speaker table and the trial lists."""
    metadata = [_METADATA_HEADER]
    for one in speakers:
        subset = "dev" if one.partition == "train" else "test"
        who = one.speaker
        metadata.append(f"{one.id}\tsynthetic\t{who.gender.lower()}\t{who.accent}\t{subset}\n")
    said = {
        one.id: [f"{one.id}/{name}" for name in one.utterances]
        for one in speakers
        if one.partition == "test"
    }
    groups = {one.id: _group(one.speaker) for one in speakers}
    tables = {
        METADATA: "".join(metadata),
        SPEAKERS_CSV: speakers_csv((one.speaker for one in speakers), prefix=_PREFIX),
    }
    for number, (name, cells) in enumerate([(TRIAL_LIST, None), (HARD_TRIAL_LIST, groups)]):
        if name in names:
            rng = stream(seed, Purpose.TRIALS, 1 + number)
            trials = draw_trials(said, num_per_speaker=_TRIALS_PER_SPEAKER, rng=rng, cells=cells)
            tables[name] = trials_text(trials, suffix=".wav")
    return tables


def _group(speaker: Speaker) -> str:
    return f"{speaker.accent} {speaker.gender}"
