"""Streaming recognition with exported graphs; needs numpy and onnxruntime only.

This file may be copied to where the model shall run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


def read_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the JSON that `sb-alexa export` writes.

    Arguments
    ---------
    path : str or path-like
        For example ``model_step.json``.

    Returns
    -------
    dict
        Rates, sizes, labels and, under ``graphs``, the inputs, outputs and state of each graph.
    """
    return json.loads(Path(path).read_text(encoding="utf-8"))


class OnnxGraph:
    """A graph together with its state.

    Arguments
    ---------
    folder : Path
        Where the graph's file is.
    description : dict
        Its entry under ``graphs``.
    num_threads : int
        Threads of one step.

    Raises
    ------
    ImportError
        If onnxruntime is missing.
    """

    def __init__(self, folder: Path, description: dict[str, Any], num_threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                "exported graphs need onnxruntime: pip install onnxruntime"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        self._session = onnxruntime.InferenceSession(
            str(folder / description["file"]), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [one["name"] for one in description["inputs"]]
        self._outputs = [one["name"] for one in description["outputs"]]
        self._state_inputs = [one["input"] for one in description["state"]]
        self._state_outputs = [one["output"] for one in description["state"]]
        self._state = [_initial(one) for one in description["state"]]

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        """Make one step; the state goes on to the next.

        Arguments
        ---------
        *inputs : numpy.ndarray
            In the order of the description.

        Returns
        -------
        numpy.ndarray
            The output.
        """
        feed = dict(zip(self._inputs, inputs, strict=True))
        feed.update(zip(self._state_inputs, self._state, strict=True))
        output, *self._state = self._session.run([*self._outputs, *self._state_outputs], feed)
        return output

    def state_values(self) -> list[np.ndarray]:
        """The state after the last step."""
        return list(self._state)


class OnnxRecognizer:
    """Greedy streaming recognition of one stream.

    Arguments
    ---------
    description : str or path-like
        ``model_step.json``; the graphs lie beside it.
    num_threads : int
        Threads of one step.

    Raises
    ------
    ImportError
        If onnxruntime is missing.
    ValueError
        If the graphs were exported for several streams.
    """

    def __init__(self, description: str | os.PathLike[str], num_threads: int = 1) -> None:
        content = read_description(description)
        if content["batch_size"] != 1:
            raise ValueError(
                f"the graphs are for {content['batch_size']} streams at a time; export with "
                "--batch-size 1 to recognise a single one"
            )
        self.sample_rate: int = content["sample_rate"]
        self._settings = content
        folder = Path(description).parent
        self._encoder, self._predictor, self._joiner = (
            OnnxGraph(folder, content["graphs"][key], num_threads)
            for key in ("encoder", "predictor", "joiner")
        )
        self.labels: list[int] = []
        self._buffer = np.zeros(0, np.float32)
        self._frames_to_drop: int = content["look_ahead_frames"]
        self._history = self._predictor.run(np.array([[content["blank_index"]]]))

    @property
    def text(self) -> str:
        """The transcript so far."""
        pieces = (self._settings["labels"][label] for label in self.labels)
        return " ".join("".join(pieces).split())

    def push(self, samples: np.ndarray) -> str:
        """Recognise the whole chunks that the samples complete.

        Arguments
        ---------
        samples : numpy.ndarray
            (N,) in [-1, 1] at `sample_rate`.

        Returns
        -------
        str
            The transcript so far.
        """
        self._buffer = np.concatenate([self._buffer, samples.astype(np.float32)])
        size = self._settings["chunk_samples"]
        while len(self._buffer) >= size:
            chunk, self._buffer = self._buffer[:size], self._buffer[size:]
            self._search(self._encode(chunk))
        return self.text

    def finish(self) -> str:
        """Recognise the rest of the stream.

        Returns
        -------
        str
            The whole transcript.
        """
        settings = self._settings
        num_features = -(-len(self._buffer) // settings["feature_samples"])
        num_frames = -(-num_features // settings["encoder_hop"]) + settings["look_ahead_frames"]
        while num_frames > 0:
            frames = self._encode(self._buffer)[:num_frames]
            self._search(frames)
            num_frames -= len(frames)
            self._buffer = self._buffer[:0]
        return self.text

    def _encode(self, samples: np.ndarray) -> np.ndarray:
        """(T, C) encoder frames of a chunk, completed with zeros."""
        chunk = np.zeros((1, self._settings["chunk_samples"]), np.float32)
        chunk[0, : len(samples)] = samples
        return self._encoder.run(chunk, np.array([len(samples)]))[0]

    def _search(self, frames: np.ndarray) -> None:
        dropped = min(self._frames_to_drop, len(frames))
        self._frames_to_drop -= dropped
        for frame in frames[dropped:]:
            for _ in range(self._settings["max_symbols_per_frame"]):
                label = int(self._joiner.run(frame[None], self._history).argmax())
                if label == self._settings["blank_index"]:
                    break
                self.labels.append(label)
                self._history = self._predictor.run(np.array([[label]]))


def _initial(description: dict[str, Any]) -> np.ndarray:
    values = np.array(description["initial"], dtype=description["dtype"])
    shape = tuple(description["shape"])
    return np.full(shape, values) if values.ndim == 0 else values.reshape(shape)
