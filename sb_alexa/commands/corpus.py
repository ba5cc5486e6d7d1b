"""`sb-alexa corpus`: write a corpus of synthetic speech, or conversations of recorded speech."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb_alexa.corpora.librispeech_layout import SplitSpec

AFTER_INTERRUPT = "what is finished is kept: the same command writes the rest"

_EPILOG = """\
The same arguments give the same bytes, whatever the number of workers. Unless --speech is given the
voices are synthetic: the corpus proves code and compares methods; it says nothing about people or
about accuracy on real speech. With --speech, conversations are made of recorded utterances, added
up with a known overlap: the voices are real, the conversations are not.

example:
  sb-alexa corpus data/embedded
  sb-alexa corpus data/large --num-train-speakers 256 --hours 20 --seed 1
  sb-alexa corpus data/accents --num-test-speakers 960 --rare-accents --new-speakers 96
  sb-alexa corpus data/harder --hardness 0.3 scottish=0.6
  sb-alexa corpus data/conversations --layout LibriCSS
  sb-alexa corpus data/verification --layout VoxCeleb
  sb-alexa corpus data/meetings --layout LibriCSS --speech LibriSpeech/dev-clean
"""

# Options that not all layouts have, and the parameter of the writer that each sets.
_OF_LAYOUT = {
    "librispeech": {
        "num_train_speakers": "num_train_speakers",
        "num_test_speakers": "num_test_speakers",
        "test_utterances": "utterances_per_test_speaker",
        "hours": "hours_of_training",
        "sentences": "sentences_per_utterance",
        "rare_accents": "rare_accents",
        "rare_share": "rare_share",
        "new_speakers": "num_new_speakers",
        "hardness": "hardness",
    },
    "libricss": {
        "num_sessions": "num_sessions",
        "sentences": "sentences_per_turn",
        "minutes": "minutes_per_session",
        "speech": "speech",
    },
    "voxceleb": {
        "num_train_speakers": "num_train_speakers",
        "num_test_speakers": "num_test_speakers",
        "hours": "hours_of_training",
        "hardness": "hardness",
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where to write")
    parser.add_argument(
        "--layout",
        type=str.lower,
        choices=list(_OF_LAYOUT),
        default="librispeech",
        help="the real corpus whose layout on disk is followed: LibriSpeech, single sentences for "
        "training and testing; LibriCSS, conversations of its test speakers, or of the readers of "
        "--speech; VoxCeleb, speakers to tell apart, with trial lists (default: LibriSpeech)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of readers, sentences, rooms; of who says what, when (default: %(default)s)",
    )
    parser.add_argument(
        "--num-train-speakers",
        type=int,
        help="LibriSpeech, VoxCeleb: multiples of 16 balance accents and genders (default: 96)",
    )
    parser.add_argument(
        "--num-test-speakers",
        type=int,
        help="LibriSpeech: of test-clean (default: 32); VoxCeleb: of the trial lists (default: "
        "160, 10 of each accent and gender)",
    )
    parser.add_argument(
        "--test-utterances",
        type=int,
        help="LibriSpeech: of each speaker of test-clean (default: 12; fewer where there are more "
        "than 640 speakers)",
    )
    parser.add_argument(
        "--hours", type=float, help="LibriSpeech, VoxCeleb: of training speech, about (default: 3)"
    )
    parser.add_argument(
        "--rare-accents",
        nargs="*",
        metavar="ACCENT",
        help="LibriSpeech: accents that train-clean has little of while the other splits stay "
        "balanced; without names scottish and west_midlands, neighbours on the invented map",
    )
    parser.add_argument(
        "--rare-share",
        type=float,
        help="LibriSpeech: share of the readers of these accents that train-clean keeps; the "
        "others are not replaced (default: 0.1)",
    )
    parser.add_argument(
        "--new-speakers",
        type=int,
        help="LibriSpeech: readers of a further split, train-new, balanced over accents: "
        "recordings made when a model has been found wanting (default: 0, no such split)",
    )
    parser.add_argument(
        "--hardness",
        nargs="+",
        metavar="LEVEL",
        help="LibriSpeech, VoxCeleb: 0 to 1, how much faster, noisier and narrower in band the "
        "speech is; GROUP=LEVEL for an accent or a gender (F, M), the largest counts (default: 0)",
    )
    parser.add_argument(
        "--num-sessions",
        type=int,
        help="LibriCSS: in each of the six conditions; session 0 is for development (default: 10)",
    )
    parser.add_argument(
        "--minutes", type=float, help="LibriCSS: length of a session, about (default: 1)"
    )
    parser.add_argument(
        "--sentences",
        type=int,
        help="LibriSpeech, LibriCSS: most of them in an utterance or a turn (default: 1)",
    )
    parser.add_argument(
        "--speech",
        metavar="FOLDER",
        type=Path,
        help="LibriCSS: make conversations of the recorded utterances of a split in LibriSpeech's "
        "layout, such as LibriSpeech/dev-clean, instead of synthetic voices",
    )
    parser.add_argument(
        "--text-file",
        type=Path,
        help="English text whose sentences are read instead of household commands",
    )
    parser.add_argument(
        "--num-workers", type=int, help="processes at a time (default: one per processor)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")


def run(args: argparse.Namespace) -> int:
    """Write the corpus and say what it holds.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0.
    """
    from sb_alexa.corpora.planted_hardness import parse_hardness

    sizes = _sizes(args)
    common = {"seed": args.seed, "progress": not args.quiet}
    spoken = {"text_file": args.text_file, "num_workers": args.num_workers}
    if args.speech is not None:
        from sb_alexa.corpora.recorded_meetings import write_recorded_meetings

        _check_nothing_is_spoken(args)
        folder = write_recorded_meetings(args.folder, **sizes, **common)
        said = describe_conversations(folder)
    elif args.layout == "libricss":
        from sb_alexa.corpora.libricss_layout import write_libricss

        folder = write_libricss(args.folder, **sizes, **common, **spoken)
        said = describe_conversations(folder)
    elif args.layout == "voxceleb":
        from sb_alexa.corpora.voxceleb_layout import write_voxceleb

        hardness = parse_hardness(sizes.pop("hardness", ()))
        sizes = _voxceleb_sizes(sizes)
        folder = write_voxceleb(args.folder, **sizes, hardness=hardness, **common, **spoken)
        said = describe_speakers(folder)
    else:
        from sb_alexa.corpora.librispeech_layout import default_splits, write_librispeech

        rare = rare_accents(sizes.pop("rare_accents", None), sizes.pop("rare_share", None))
        if rare:
            sizes["rare_accents"] = rare
        hardness = parse_hardness(sizes.pop("hardness", ()))
        splits = default_splits(**sizes)
        most = sizes.get("sentences_per_utterance", 1)
        folder = write_librispeech(
            args.folder,
            splits=splits,
            hardness=hardness,
            sentences_per_utterance=most,
            **common,
            **spoken,
        )
        said = describe(folder, splits)
    if not args.quiet:
        print(said)
    return 0


def _sizes(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments given that belong to the layout.

    Raises
    ------
    ValueError
        If one is given that belongs to another layout.
    """
    own = _OF_LAYOUT[args.layout]
    for name in dict.fromkeys(name for names in _OF_LAYOUT.values() for name in names):
        if getattr(args, name) is not None and name not in own:
            layouts = [layout for layout, names in _OF_LAYOUT.items() if name in names]
            option = "--" + name.replace("_", "-")
            raise ValueError(
                f"{option} belongs to --layout {' or '.join(layouts)}, not to {args.layout}"
            )
    given = {parameter: getattr(args, name) for name, parameter in own.items()}
    return {parameter: value for parameter, value in given.items() if value is not None}


def rare_accents(names: Sequence[str] | None, share: float | None) -> dict[str, float]:
    """The accents asked for and the share of each that is kept; none without the option.

    Arguments
    ---------
    names : sequence of str | None
        Accents; empty takes neighbours on the map.
    share : float | None
        None takes 0.1.

    Raises
    ------
    ValueError
        If a share is given without accents.
    """
    from sb_alexa.corpora.voices import EASTERN_ACCENTS

    if names is None and share is not None:
        raise ValueError(f"--rare-share {share} needs --rare-accents, which it is the share of")
    if names is None:
        return {}
    return dict.fromkeys(names or EASTERN_ACCENTS, 0.1 if share is None else share)


def _voxceleb_sizes(sizes: dict[str, Any]) -> dict[str, Any]:
    """The sizes with hours of training as utterances of each speaker."""
    from sb_alexa.corpora.spoken_corpus import utterances_per_speaker

    sizes = {"num_train_speakers": 96, "hours_of_training": 3.0, **sizes}
    per_speaker = utterances_per_speaker(
        num_train_speakers=sizes["num_train_speakers"],
        hours_of_training=sizes.pop("hours_of_training"),
    )
    # The writer needs two of everybody, to compare.
    return {**sizes, "utterances_per_train_speaker": max(per_speaker, 2)}


def _check_nothing_is_spoken(args: argparse.Namespace) -> None:
    """Refuse what only synthetic voices have.

    Raises
    ------
    ValueError
        If something of that is given.
    """
    if args.text_file is not None:
        raise ValueError(
            f"--text-file {args.text_file} has sentences for synthetic voices to read, and "
            f"--speech {args.speech} replaces those voices; give one of the two"
        )
    if args.sentences is not None:
        raise ValueError(
            f"--sentences {args.sentences} is for synthetic voices; recorded utterances of "
            "--speech are turns as they are"
        )
    if args.num_workers is not None:
        raise ValueError(
            f"--num-workers {args.num_workers} is for synthetic voices; with --speech one process "
            "mixes all: leave it out"
        )


def describe(folder: Path, splits: Mapping[str, SplitSpec]) -> str:
    """What a written corpus holds, in a few lines.

    Arguments
    ---------
    folder : Path
        The corpus.
    splits : mapping of str to SplitSpec
        What was asked for.

    Returns
    -------
    text : str
        One line for each split, then the hours and the folder.
    """
    stamp = json.loads((folder / "synthetic_corpus.json").read_text(encoding="utf-8"))
    readers = Counter(name.partition("/")[0] for name in stamp["readers"])
    lines = [
        f"{name:<12}{readers[name]:>5} speakers x {spec.num_utterances_per_speaker} utterances"
        for name, spec in splits.items()
    ]
    return "\n".join([*lines, f"{stamp['hours']:.2f} hours of synthetic speech in {folder}"])


def describe_conversations(folder: Path) -> str:
    """What a written corpus of conversations holds, in a few lines.

    Arguments
    ---------
    folder : Path
        The corpus, laid out like LibriCSS.

    Returns
    -------
    text : str
        One line for each condition, then the hours and the folder.
    """
    from sb_alexa.corpora.utterance_groups import ConditionCounts

    stamp = json.loads((folder / "synthetic_corpus.json").read_text(encoding="utf-8"))
    counts = {name: ConditionCounts(**count) for name, count in stamp["conditions"].items()}
    lines = [
        f"{name:<5}{count.num_sessions:>4} sessions {count.num_groups:>5} utterance groups "
        f"{count.num_turns:>5} turns {100 * count.overlap_ratio:5.1f} % overlap"
        for name, count in counts.items()
    ]
    hours = sum(count.audio_s for count in counts.values()) / 3600
    recorded = "speech_sha256" in stamp["arguments"]
    kind = "conversation made of recorded speech" if recorded else "synthetic conversation"
    return "\n".join([*lines, f"{hours:.2f} hours of {kind} in {folder}"])


def describe_speakers(folder: Path) -> str:
    """What a written corpus for speaker verification holds, in a few lines.

    Arguments
    ---------
    folder : Path
        The corpus, laid out like VoxCeleb.

    Returns
    -------
    text : str
        One line each for training and test speakers and for the trial lists, then the hours and
        the folder.
    """
    stamp = json.loads((folder / "synthetic_corpus.json").read_text(encoding="utf-8"))
    asked = stamp["arguments"]
    lines = [
        f"{subset:<5}{asked[f'num_{subset}_speakers']:>5} speakers x "
        f"{asked[f'utterances_per_{subset}_speaker']} utterances"
        for subset in ("train", "test")
    ]
    for path in sorted(folder.glob("veri_test*.txt")):
        num_trials = len(path.read_text(encoding="utf-8").splitlines())
        lines.append(f"{path.name:<20}{num_trials:>6} trials")
    return "\n".join([*lines, f"{stamp['hours']:.2f} hours of synthetic speech in {folder}"])
