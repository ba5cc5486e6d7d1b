"""`sb-alexa bench audit-statistics`: do intervals and tests of an audit keep their promises?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sb_alexa.fairness.audit_simulation import Measure, Share

_EPILOG = """\
Corpora are simulated: speakers have rates of their own, utterances are easy or hard, group 1 makes
half as many errors again as group 0. An interval that claims 95 % should contain the true value in
93 to 97 % of 500 corpora. On pure noise, with groups drawn by lot, at most 5 % of audits should
report a difference, and at most 5 % of 200 maps of noise should be divided into regions. Takes
about 3 minutes on one core.

example:
  sb-alexa bench audit-statistics --json audit_statistics.json
  sb-alexa bench audit-statistics --corpora 100 --effects gamma
"""
# Speakers in a corpus: few, and as many as the goal of 93 to 97 % is for.
_RANGES = ((10, 39), (40, 200))
# On a map: a small audit, and one with some power.
_MAP_SIZES = (400, 1600)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--corpora", type=int, default=500, help="simulated for each setting [%(default)s]")
    add("--maps", type=int, default=200, help="of noise, and with a hard region [%(default)s]")
    add("--samples", type=int, default=1000, help="bootstrap draws in each [%(default)s]")
    add("--level", type=float, default=0.95, help="that the intervals claim [%(default)s]")
    add(
        "--effects",
        nargs="+",
        choices=("gamma", "lognormal"),
        default=["gamma", "lognormal"],
        help="distribution of the speakers' rates [both]",
    )
    add("--seed", type=int, default=0, help="of the simulation [%(default)s]")
    add("--json", metavar="FILE", help="write the figures")


def run(args: argparse.Namespace) -> int:
    """Simulate and print.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; bad input raises ValueError or OSError.
    """
    for name in ("corpora", "maps"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be >= 1, got {getattr(args, name)}")
    from tqdm import tqdm

    from sb_alexa.commands.figures import write_figures
    from sb_alexa.fairness.audit_simulation import (
        SpeechCorpus,
        measure_coverage,
        measure_false_discoveries,
    )
    from sb_alexa.fairness.map_simulation import measure_map_discoveries

    figures: dict[str, float | None] = {}
    tables = []
    steps = args.corpora * (len(args.effects) * len(_RANGES) + 1)
    steps += 2 * args.maps * len(_MAP_SIZES)
    with tqdm(total=steps, desc="corpora and maps", disable=None) as bar:
        for effect in args.effects:
            corpus = SpeechCorpus(is_lognormal=effect == "lognormal")
            for low, high in _RANGES:
                found = measure_coverage(
                    corpus,
                    num_speakers=(low, high),
                    num_corpora=args.corpora,
                    num_samples=args.samples,
                    level=args.level,
                    seed=args.seed,
                    with_utterances=high > _RANGES[0][1],
                    on_corpus=bar.update,
                )
                tables.append(coverage_table(f"{low} to {high} speakers, {effect}", found))
                for (method, statistic), share in found.items():
                    name = f"{effect}_{low}_{high}_{method}_{statistic}_covered_percent"
                    figures[name] = share.percent
        noise = measure_false_discoveries(
            SpeechCorpus(),
            num_corpora=args.corpora,
            num_samples=args.samples,
            alpha=1.0 - args.level,
            seed=args.seed,
            on_corpus=bar.update,
        )
        maps = {
            size: measure_map_discoveries(
                num_maps=args.maps, num_speakers=size, seed=args.seed, on_map=bar.update
            )
            for size in _MAP_SIZES
        }
    tables.append(share_table("groups drawn by lot", "found different", noise))
    for size, shares in maps.items():
        tables.append(share_table(f"maps of {size} speakers", "of them", shares))
        for kind, share in shares.items():
            figures[f"map_{size}_{kind.replace(' ', '_')}_percent"] = share.percent
    figures.update({f"noise_{name}_percent": share.percent for name, share in noise.items()})
    if args.json:
        write_figures(args.json, "bench audit-statistics", figures)
    print("\n\n".join(tables))
    return 0


def coverage_table(title: str, found: Mapping[Measure, Share]) -> str:
    """Shares of corpora whose interval contains the true value, one line for each method."""
    from sb_alexa.report.markdown_table import aligned_table

    methods = list(dict.fromkeys(method for method, _ in found))
    statistics = list(dict.fromkeys(statistic for _, statistic in found))
    rows = [
        [
            method,
            *(str(found[method, s]) if (method, s) in found else "–" for s in statistics),
        ]
        for method in methods
    ]
    return "\n".join(aligned_table([title, *statistics], rows))


def share_table(title: str, of_what: str, found: Mapping[str, Share]) -> str:
    """Shares of corpora or maps, one a line."""
    from sb_alexa.report.markdown_table import aligned_table

    return "\n".join(aligned_table([title, of_what], [[n, str(s)] for n, s in found.items()]))
