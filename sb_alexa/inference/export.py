"""One streaming step of a model as ONNX graphs, for use without torch.

Three graphs and a description (JSON) are written. For ``model_step.onnx`` they are:

model_step.onnx
    Front end and encoder: a chunk of samples and the state to encoder frames and the next state.
model_step.predictor.onnx
    Label encoder: the last label and the state to a vector and the next state.
model_step.joiner.onnx
    An encoder frame and the label encoder's vector to the logits of all labels.
model_step.json
    Names, shapes and types of inputs and outputs, initial states, labels and their text.

`sb_alexa.inference.onnx_recognizer.OnnxRecognizer` is the loop around them. It needs numpy and
onnxruntime only, so its file can be copied to where the model shall run:

    recognizer = OnnxRecognizer("model_step.json")
    for samples in microphone:  # float32 arrays of any length
        print(recognizer.push(samples))
    print(recognizer.finish())
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.encoders.amortized import AmortizedTransformerEncoder
from sb_alexa.encoders.transformer import CausalTransformer
from sb_alexa.inference.model_folder import Model, is_multitalker
from sb_alexa.inference.streaming_steps import (
    EncoderStep,
    JoinerStep,
    PredictorStep,
    StateTensor,
    dtype_name,
)


def export_streaming_step(
    model: Model,
    output: str | os.PathLike[str],
    *,
    chunk_ms: float = 160.0,
    batch_size: int = 1,
) -> Path:
    """Write the graphs and their description.

    Arguments
    ---------
    model : Model
        From `read_model_folder`.
    output : str or path-like
        The encoder's graph, ending in ``.onnx``; the other files are put beside it.
    chunk_ms : float
        Audio in a step, in milliseconds, rounded up to whole frames of the encoder.
    batch_size : int
        Streams in a step; fixed in the graphs, as the chunk is.

    Returns
    -------
    Path
        The description.

    Raises
    ------
    ImportError
        If onnx or onnxscript is missing.
    ValueError
        If an argument does not make sense, the encoder is a Transformer, or its state changes its
        shape while it streams.
    """
    output = Path(output)
    if output.suffix != ".onnx" or chunk_ms <= 0 or batch_size < 1:
        raise ValueError(
            "export needs an output that ends in .onnx, chunk_ms > 0 and batch_size >= 1, got "
            f"{output}, {chunk_ms} and {batch_size}"
        )
    if is_multitalker(model.hparams):
        raise ValueError(
            "the model separates talkers on several channels, and the exported loop decodes one "
            "channel; stream it with torch (sb-alexa transcribe --stream)"
        )
    if model.word_pieces is None:
        raise ValueError(
            "the model tells speakers apart and recognises no words, so it has no streaming step; "
            "compare recordings with it (sb-alexa verify)"
        )
    _require_exporter()
    features: Any = model.modules["features"]
    encoder: Any = model.modules["encoder"]
    _refuse_transformers(encoder)
    search = model.hparams["search"]
    sample_rate = model.hparams["sample_rate"]
    # An encoder with a chunk of its own takes no other.
    step_frames = getattr(encoder, "chunk_frames", encoder.geometry.hop)
    step_samples = features.geometry.hop * step_frames
    num_steps = -(-round(chunk_ms * sample_rate / 1000) // step_samples)
    chunk_samples = step_samples * (1 if hasattr(encoder, "chunk_frames") else num_steps)
    with torch.no_grad():
        graphs = _write_graphs(model, output, chunk_samples, batch_size)
    description = {
        "sample_rate": sample_rate,
        "batch_size": batch_size,
        "chunk_samples": chunk_samples,
        "feature_samples": features.geometry.hop,
        "encoder_hop": encoder.geometry.hop,
        "look_ahead_frames": encoder.geometry.look_ahead // encoder.geometry.hop,
        "blank_index": search.blank_index,
        "max_symbols_per_frame": search.max_symbols_per_frame,
        "graphs": graphs,
        "labels": _label_texts(model.word_pieces),
    }
    path = output.with_suffix(".json")
    with replaced_atomically(path) as temporary:
        temporary.write_text(
            json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return path


def _label_texts(word_pieces: WordPieces) -> list[str]:
    """What each label adds to a transcript; blank adds nothing."""
    labels = range(1, word_pieces.num_labels)
    return ["", *(word_pieces.decode_delta([label], at_start=False) for label in labels)]


def _write_graphs(
    model: Model, output: Path, chunk_samples: int, batch_size: int
) -> dict[str, Any]:
    modules, search = model.modules, model.hparams["search"]
    encoder = EncoderStep(modules["features"], modules["encoder"], batch_size)
    predictor = PredictorStep(search.predictor, batch_size)
    joiner = JoinerStep(search.joiner)
    samples = 0.1 * torch.randn(batch_size, chunk_samples, generator=torch.Generator())
    num_samples = torch.full((batch_size,), chunk_samples)
    labels = torch.full((batch_size, 1), search.blank_index)
    encoder_state = [tensor.initial for tensor in encoder.state]
    predictor_state = [tensor.initial for tensor in predictor.state]
    encoder_out, *after = encoder(samples, num_samples, *encoder_state)
    _check_shapes(encoder.state, after)
    predictor_out = predictor(labels, *predictor_state)[0]
    joined = {"encoder_frame": encoder_out[:, 0], "predictor_out": predictor_out}
    return {
        "encoder": _write_graph(
            encoder.eval(),
            output,
            {"samples": samples, "num_samples": num_samples},
            {"encoder_out": encoder_out},
            encoder.state,
        ),
        "predictor": _write_graph(
            predictor.eval(),
            output.with_suffix(".predictor.onnx"),
            {"labels": labels},
            {"predictor_out": predictor_out},
            predictor.state,
        ),
        "joiner": _write_graph(
            joiner.eval(),
            output.with_suffix(".joiner.onnx"),
            joined,
            {"logits": joiner(*joined.values())},
            [],
        ),
    }


def _write_graph(
    step: nn.Module,
    path: Path,
    inputs: dict[str, Tensor],
    outputs: dict[str, Tensor],
    state: list[StateTensor],
) -> dict[str, Any]:
    entries = [tensor.as_dict() for tensor in state]
    with warnings.catch_warnings():
        # The exporter remarks on torch's own LSTM and on deprecations within torch.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            (*inputs.values(), *(tensor.initial for tensor in state)),
            dynamo=True,
            verbose=False,
            input_names=[*inputs, *(entry["input"] for entry in entries)],
            output_names=[*outputs, *(entry["output"] for entry in entries)],
        )
    assert program is not None  # only the older exporter, which writes by itself, returns None
    with replaced_atomically(path) as temporary:
        program.save(temporary, external_data=False)
    return {
        "file": path.name,
        "inputs": [_described(name, tensor) for name, tensor in inputs.items()],
        "outputs": [_described(name, tensor) for name, tensor in outputs.items()],
        "state": entries,
    }


def _described(name: str, tensor: Tensor) -> dict[str, Any]:
    return {"name": name, "shape": list(tensor.shape), "dtype": dtype_name(tensor)}


def _refuse_transformers(encoder: nn.Module) -> None:
    if not isinstance(encoder, CausalTransformer):
        return
    reason = "keeps its keys in a cache whose used part moves while it streams"
    if isinstance(encoder, AmortizedTransformerEncoder):
        reason = "decides for each frame what to compute and which keys to keep"
    raise ValueError(
        f"the encoder is a {type(encoder).__name__}, which {reason}, and a fixed graph cannot do "
        "that; stream it with torch (sb-alexa transcribe --stream), or export a model with another "
        "encoder, such as that of conv_rnnt.yaml"
    )


def _check_shapes(before: list[StateTensor], after: Sequence[Tensor]) -> None:
    changed = [
        tensor.name
        for tensor, new in zip(before, after, strict=False)
        if tensor.initial.shape != new.shape
    ]
    if changed or len(before) != len(after):
        raise ValueError(
            "the state of the encoder changes its shape while streaming "
            f"({', '.join(changed) or 'it grows'}), which a fixed graph cannot do; export an "
            "encoder whose state has a constant size"
        )


def _require_exporter() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"export needs onnx and onnxscript: pip install 'sb-alexa[export]' ({error})"
        ) from error
    # It reports every torchvision operator that it cannot find.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
