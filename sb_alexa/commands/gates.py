"""`sb-alexa gates`: what a gated model computes, for a recording or by group of speakers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb_alexa.corpora.manifest import Utterance
    from sb_alexa.inference.gated_asr import GatedASR

AFTER_INTERRUPT = "nothing was written; run the same command again"

_EPILOG = """\
The model is one whose encoder has arbitrators (recipe YAMLs amortized*). Compute is counted in
multiply-adds of the whole encoder, arbitrators included, against the same encoder without gates.

With a recording: the share computed, by kind of module and by block; --figure draws frames x
toggles with the spectrogram above and the operations of each frame below.

With --manifest: word error rate, compute and skip rates of each group of speakers, and what they
differ by from all other speakers, with 95 % intervals by resampling speakers. Groups with fewer
than 10 speakers are shown and marked: their intervals are too narrow to be believed.

example:
  sb-alexa gates results/amortized_mini/1234 talk.wav --figure gates.png
  sb-alexa gates results/amortized_mini/1234 talk.wav --threshold 0.7
  sb-alexa gates results/amortized_mini/1234 --manifest prepared/splits/test-clean.csv \\
      --data-root LibriSpeech --speakers prepared/speakers.csv --by gender accent \\
      --json audit.json --figure audit.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.epilog = _EPILOG
    parser.add_argument("folder", metavar="MODEL", help="folder of a trained model")
    parser.add_argument("audio", metavar="AUDIO", nargs="?", help="one recording")
    parser.add_argument(
        "--threshold",
        type=float,
        help="keep probability above which a module is computed: 0 computes everything, 1 nothing "
        "(default: the model's)",
    )
    parser.add_argument("--figure", metavar="FILE", help="picture to write: .png, .pdf or .svg")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a JSON file")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: the first GPU, if any)")
    audit = parser.add_argument_group("audit by group of speakers")
    audit.add_argument("--manifest", metavar="CSV", help="utterances, as a recipe prepares them")
    audit.add_argument(
        "--data-root", metavar="FOLDER", help="what $data_root in the manifest stands for"
    )
    audit.add_argument("--speakers", metavar="CSV", help="speaker table, prepared beside it")
    audit.add_argument(
        "--by", nargs="+", metavar="COLUMN", help="columns of the table, such as gender accent"
    )
    audit.add_argument(
        "--batch-size",
        type=int,
        default=16,
        help="utterances at a time; the result does not depend on it (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0.
    """
    _check(args)
    if args.figure:
        from sb_alexa.inference.matplotlib_figure import check_picture

        check_picture(args.figure)
    return _audit(args) if args.manifest else _one_recording(args)


def _check(args: argparse.Namespace) -> None:
    if bool(args.audio) == bool(args.manifest):
        raise ValueError("give one recording, or --manifest with --speakers and --by")
    if args.manifest and not (args.speakers and args.by):
        raise ValueError("--manifest needs --speakers speakers.csv and --by with columns of it")
    if args.audio and (args.speakers or args.by or args.data_root):
        raise ValueError("--speakers, --by and --data-root belong to --manifest")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise ValueError(
            f"--threshold must lie between 0 (computes everything) and 1 (nothing), got "
            f"{args.threshold:g}"
        )
    if args.batch_size < 1:
        raise ValueError(f"--batch-size must be >= 1, got {args.batch_size}; 16 is usual")
    if not Path(args.folder).is_dir():
        raise FileNotFoundError(
            f"there is no folder {args.folder}; give the folder of a trained model"
        )


def _one_recording(args: argparse.Namespace) -> int:
    from sb_alexa.commands.figures import write_figures
    from sb_alexa.commands.gates_report import recording_figures, recording_summary
    from sb_alexa.inference.gate_map import plot_gates
    from sb_alexa.inference.matplotlib_figure import save_figure
    from sb_alexa.metrics.frame_compute import macs_by_frame

    asr = _open(args)
    samples = asr.load_audio(args.audio)
    found = asr.recognize_with_gates(samples)
    name = Path(args.audio).name
    print(recording_summary(name, found, asr.kinds, asr.seconds_per_frame))
    if args.json:
        figures = recording_figures(found, asr.kinds)
        write_figures(args.json, "gates", {"threshold": asr.threshold, **figures})
    if args.figure:
        counts = found.counts
        compute = macs_by_frame(asr.shape, found.gates)[0] / counts.dense.per_frame
        figure = plot_gates(
            found.gates,
            seconds_per_frame=asr.seconds_per_frame,
            samples=samples,
            sample_rate=asr.sample_rate,
            compute=compute,
            words=found.update.words,
            kinds=asr.kinds,
            title=f"{name}: {100 * counts.compute_share:.0f} % of the dense encoder's "
            f"multiply-adds (threshold {asr.threshold:g})",
        )
        save_figure(figure, args.figure)
        print(f"wrote {args.figure}")
    return 0


def _audit(args: argparse.Namespace) -> int:
    from sb_alexa.commands.figures import write_figures
    from sb_alexa.commands.gates_audit_plot import plot_audit
    from sb_alexa.commands.gates_report import audit_figures, audit_markdown
    from sb_alexa.corpora.speaker_table import read_speaker_table
    from sb_alexa.fairness.gate_audit import audit_groups, group_speakers, overall_rates
    from sb_alexa.inference.gate_measurement import measure_speakers
    from sb_alexa.inference.matplotlib_figure import save_figure
    from sb_alexa.report.figure_names import check_names

    utterances = _utterances(args)
    table = read_speaker_table(args.speakers)
    names = [utterance.speaker for utterance in utterances]
    groups = {
        column: group_speakers(column, table.values(column, names))
        for column in dict.fromkeys(args.by)
    }
    check_names(groups)
    asr = _open(args)
    speakers = measure_speakers(asr, utterances, batch_size=args.batch_size)
    overall = overall_rates(list(speakers.values()))
    audits = {column: audit_groups(speakers, column, of) for column, of in groups.items()}
    print(audit_markdown(speakers, overall, audits, asr.kinds, asr.threshold))
    if args.json:
        figures = audit_figures(speakers, overall, audits, asr.kinds)
        write_figures(args.json, "gates audit", {"threshold": asr.threshold, **figures})
    if args.figure:
        save_figure(plot_audit(overall, audits), args.figure)
        print(f"\nwrote {args.figure}")
    return 0


def _open(args: argparse.Namespace) -> GatedASR:
    from sb_alexa.inference.gated_asr import GatedASR

    run_opts = {"device": args.device} if args.device else None
    asr = GatedASR.from_hparams(args.folder, run_opts=run_opts)
    if args.threshold is not None:
        asr.threshold = args.threshold
    return asr


def _utterances(args: argparse.Namespace) -> list[Utterance]:
    from sb_alexa.corpora.manifest import DATA_ROOT, read_manifest
    from sb_alexa.corpora.text_files import name_some

    utterances = read_manifest(args.manifest, args.data_root or DATA_ROOT)
    if not utterances:
        raise ValueError(f"{args.manifest} holds no utterances; prepare the corpus again")
    if utterances[0].path.startswith(DATA_ROOT) and not args.data_root:
        raise ValueError(
            f"the paths in {args.manifest} begin with {DATA_ROOT}; "
            "say with --data-root which folder that is"
        )
    missing = [u.path for u in utterances if not Path(u.path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(utterances)} recordings in {args.manifest} are missing: "
            f"{name_some(missing)}; check --data-root"
        )
    return utterances
