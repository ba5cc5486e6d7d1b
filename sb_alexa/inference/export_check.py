"""Exported graphs beside the model they were made of."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from sb_alexa.inference.model_folder import Model
from sb_alexa.inference.onnx_recognizer import OnnxGraph, read_description
from sb_alexa.inference.streaming_steps import EncoderStep, JoinerStep, PredictorStep


def largest_difference(
    model: Model, description: str | os.PathLike[str], num_steps: int = 5
) -> float:
    """Compare the exported graphs with the model over several steps of noise.

    Arguments
    ---------
    model : Model
        The model that was exported.
    description : str or path-like
        From `export_streaming_step`.
    num_steps : int
        Chunks, each followed by a label.

    Returns
    -------
    float
        Largest difference of encoder frames, logits and all state tensors: absolute for values up
        to 1, relative for larger ones (sums over the whole stream).

    Raises
    ------
    ImportError
        If onnxruntime is missing.
    """
    content = read_description(description)
    folder, batch_size = Path(description).parent, content["batch_size"]
    search = model.hparams["search"]
    encoder = EncoderStep(model.modules["features"], model.modules["encoder"], batch_size)
    predictor = PredictorStep(search.predictor, batch_size)
    joiner = JoinerStep(search.joiner)
    graphs = {key: OnnxGraph(folder, graph) for key, graph in content["graphs"].items()}
    state, labels_state = ([t.initial for t in step.state] for step in (encoder, predictor))
    random = torch.Generator().manual_seed(0)
    largest = 0.0
    with torch.no_grad():
        for step in range(num_steps):
            samples = torch.randn(batch_size, content["chunk_samples"], generator=random) * 0.1
            num_samples = torch.full((batch_size,), content["chunk_samples"])
            labels = torch.full((batch_size, 1), 1 if step else search.blank_index)
            encoder_out, *state = encoder(samples, num_samples, *state)
            predictor_out, *labels_state = predictor(labels, *labels_state)
            logits = joiner(encoder_out[:, -1], predictor_out)
            found_out = graphs["encoder"].run(samples.numpy(), num_samples.numpy())
            found_predictor = graphs["predictor"].run(labels.numpy())
            found_logits = graphs["joiner"].run(found_out[:, -1], found_predictor)
            pairs = [
                (encoder_out, found_out),
                (logits, found_logits),
                *zip(state, graphs["encoder"].state_values(), strict=True),
                *zip(labels_state, graphs["predictor"].state_values(), strict=True),
            ]
            for expected, found in pairs:
                expected = expected.double()
                difference = (expected - torch.from_numpy(found).double()).abs()
                largest = max(largest, float((difference / expected.abs().clamp(min=1)).max()))
    return largest
