"""Tables of `sb-alexa bench amortized`."""

from __future__ import annotations

from sb_alexa.bench.amortized_regimes import RegimeResult
from sb_alexa.bench.amortized_run import AmortizedResult
from sb_alexa.bench.amortized_sweep import SweepPoint
from sb_alexa.bench.loss_report import where
from sb_alexa.bench.median import Median
from sb_alexa.bench.streaming_run import ModelResult
from sb_alexa.commands.figures import machine_description

_SWEEP_HEADER = (
    "threshold",
    "multiply-adds per frame (M)",
    "compute (%)",
    "WER (%)",
    "offline, encoder alone (s per s of audio)",
    "offline, all (s per s of audio)",
    "chunk p50 / p95 (ms)",
    "streams per core",
)
_REGIME_HEADER = (
    "how it runs",
    "counted reduction (%)",
    "measured reduction (%)",
    "measured / counted",
    "aim",
    "dense (ms)",
    "ours (ms)",
    "roofline dense / ours (ms)",
)
# What the paper's models reach; gates that keep more or less make another comparison.
_USUAL_REDUCTION = (50.0, 60.0)


def markdown(result: AmortizedResult) -> str:
    """The tables, the machine, and what else was measured.

    Arguments
    ---------
    result : AmortizedResult
        All measurements.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        *_table(_SWEEP_HEADER, [_sweep_cells(point) for point in result.sweep]),
        "",
        _sweep_note(result),
    ]
    for device in result.rooflines:
        of_device = [one for one in result.regimes if one.device == device]
        lines += ["", *_table(_REGIME_HEADER, [_regime_cells(one) for one in of_device]), ""]
        lines.append(_roofline_note(result, device))
    lines += ["", _regime_note(result)]
    lines += [
        "",
        _operations_note(result),
        f"Torch {machine_description()['torch']}, float32. Times are medians of rounds in which "
        "all take turns; in brackets, where the median lies with 95 %.",
    ]
    problems = result.machine.problems
    lines.append(f"Not idle: {'; '.join(problems)}." if problems else "The machine was idle.")
    return "\n".join(lines)


def _sweep_note(result: AmortizedResult) -> str:
    streaming = result.sweep[0].streaming
    words = result.sweep[0].recognition.total.words
    note = (
        f"Trained model on {result.num_utterances} utterances ({words} words, "
        f"{result.num_speakers} speakers); the interval of the WER resamples "
        f"{'speakers' if result.num_speakers > 1 else 'utterances'}. Compute: multiply-adds of the "
        "encoder, arbitrators included, in percent of the dense one's. Offline: batches of up to "
        f"16; streams: chunks of {streaming.recogniser.chunk_ms:.0f} ms, from samples to labels; "
        "per core: the largest batch of which 95 % of the steps take no longer than the chunk."
    )
    if result.sweep[0].threshold == 0:
        note += " At threshold 0 everything is computed."
    return note


def _regime_note(result: AmortizedResult) -> str:
    shape = result.shape
    low, high = _USUAL_REDUCTION
    counted = [one.counted_reduction for one in result.regimes]
    gates = (
        "it has the paper's toggles, and each takes the decisions of one of the trained model"
        if result.stand_in
        else "its gates are those of the trained model"
    )
    note = (
        f"Encoder of the paper's size ({shape.num_layers} blocks of {shape.d_model}, left context "
        f"{shape.left_context_frames} frames) with random weights; {gates} at threshold "
        f"{result.model_threshold:g}, frame for frame, and its arbitrators' cost is counted and "
        "paid. The peer is the dense encoder of the same size."
    )
    if min(counted) < low or max(counted) > high:
        note += (
            f" These gates save {min(counted):.1f} to {max(counted):.1f} % of the multiply-adds, "
            f"the paper's {low:.0f} to {high:.0f} %: compare the ratio."
        )
    return note


def _operations_note(result: AmortizedResult) -> str:
    exact = result.exact_operations
    titles = {one.regime.name: one.regime.title for one in result.regimes}
    others = ", ".join(
        f"{check.deviation_percent:+.2f} % ({titles[name]})"
        for name, check in result.operations.items()
        if check is not exact
    )
    return (
        "Frame by frame, torch's operation counter sees "
        f"{exact.executed / 1e6:.3f} M multiply-adds per frame, the formula says "
        f"{exact.formula / 1e6:.3f} M: {exact.deviation_percent:+.2f} %. Where frames are packed, "
        f"attention also computes places that it masks: {others}."
    )


def _roofline_note(result: AmortizedResult, device: str) -> str:
    roofline = result.rooflines[device]
    return (
        f"{where(device)}. Roofline: the weights that a step needs at "
        f"{roofline.gigabytes_per_second:.1f} GB/s, or its operations at "
        f"{roofline.macs_per_second / 1e9:.1f} G multiply-adds/s, whichever takes longer."
    )


def _sweep_cells(point: SweepPoint) -> list[str]:
    low, high = point.recognition.interval
    counts, streaming = point.recognition.counts, point.streaming
    return [
        f"{point.threshold:g}",
        f"{counts.gated.per_frame / 1e6:.3g}",
        f"{100 * counts.compute_share:.1f}",
        f"{point.recognition.total.error_rate:.2f} ({low:.2f}-{high:.2f})",
        _seconds(point.offline_encoder_s),
        _seconds(point.offline_s),
        f"{streaming.single.p50_ms():.2f} / {streaming.single.p95_ms():.2f}",
        _streams_per_core(streaming),
    ]


def _streams_per_core(streaming: ModelResult) -> str:
    number = streaming.streams_per_core()
    # Where the largest batch tried keeps up, more might.
    return f"{number}" if not all(streaming.keeps_up("total").values()) else f"{number} or more"


def _regime_cells(one: RegimeResult) -> list[str]:
    measured, target = one.measured_reduction, one.target_ratio
    return [
        one.regime.title,
        f"{one.counted_reduction:.1f}",
        f"{measured.median:.1f} ({measured.low:.1f} to {measured.high:.1f})",
        f"**{one.measured_over_counted:.2f}**",
        "-" if target is None else f"{target:.1f}",
        f"{Median.of(one.dense_ms).median:.2f}",
        f"{Median.of(one.gated_ms).median:.2f}",
        f"{one.dense_roofline_ms:.2f} / {one.gated_roofline_ms:.2f}",
    ]


def _seconds(time: Median) -> str:
    return f"{time.median:.4f} ({time.low:.4f}-{time.high:.4f})"


def _table(header: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = [list(header), ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
