"""The diagonal Fisher information of a model as a file, and where in the model it lies."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sb_alexa.corpora.stamp import replaced_atomically

_FORMAT = "sb_alexa fisher 1"


@dataclass(frozen=True)
class FisherStamp:
    """What Fisher information was estimated from.

    Arguments
    ---------
    weights : str
        `weights_digest` of the model.
    utterances : str
        Digest of the names of the utterances, in their order.
    num_utterances : int
        Their number.
    """

    weights: str
    utterances: str
    num_utterances: int


@dataclass(frozen=True)
class FisherShare:
    """How much of the Fisher information lies in one module.

    Arguments
    ---------
    module : str
        Its name.
    num_parameters : int
        Elements of its parameters.
    share : float
        Of the trace, 0..1.
    mean : float
        Mean of its diagonal relative to the mean over the model: the strength of the pull.
    """

    module: str
    num_parameters: int
    share: float
    mean: float


@dataclass(frozen=True, eq=False)
class FisherInformation:
    """The diagonal of the empirical Fisher information of a model.

    Arguments
    ---------
    diagonal : mapping of str to Tensor
        Mean of the squared gradients by name of the parameter, float32, on the CPU.
    stamp : FisherStamp
        What it was estimated from.
    num_left_out : int
        Utterances of the stamp whose gradient was not finite.

    Example
    -------
    >>> import torch
    >>> path = getfixture("tmp_path") / "fisher.safetensors"
    >>> diagonal = {"encoder.weight": torch.ones(2, 3), "joiner.bias": torch.full((2,), 9.0)}
    >>> FisherInformation(diagonal, FisherStamp("f00d", "cafe", 100)).save(path)
    >>> fisher = FisherInformation.load(path)
    >>> fisher.stamp.num_utterances, [(one.module, one.share) for one in fisher.shares()]
    (100, [('encoder', 0.25), ('joiner', 0.75)])
    >>> print(fisher.table())
    module    parameters   share    mean
    encoder            6   25.0%    0.33
    joiner             2   75.0%    3.00
    """

    diagonal: Mapping[str, Tensor]
    stamp: FisherStamp
    num_left_out: int = 0

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file with the stamp in its metadata; replaced in one step."""
        metadata = {
            "format": _FORMAT,
            "stamp": json.dumps(asdict(self.stamp)),
            "num_left_out": str(self.num_left_out),
        }
        tensors = {name: tensor.contiguous() for name, tensor in self.diagonal.items()}
        with replaced_atomically(path) as temporary:
            safetensors.torch.save_file(tensors, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FisherInformation:
        """Read what `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged or something else.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no Fisher information in {path}")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    raise ValueError(
                        f"{path} holds no Fisher information of this version; name a file that "
                        "estimate_fisher made, or delete it"
                    )
                diagonal = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            stamp = FisherStamp(**json.loads(metadata["stamp"]))
            return cls(diagonal, stamp, int(metadata["num_left_out"]))
        except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path} is damaged or no Fisher information: {error}; delete it"
            ) from error

    def shares(self, depth: int = 1) -> list[FisherShare]:
        """Where the information lies.

        Arguments
        ---------
        depth : int
            Names in the path of a module: 1 for ``encoder``, 2 for ``encoder.lstm``.

        Returns
        -------
        list of FisherShare
            In the order of the names; the shares sum to 1.

        Raises
        ------
        ValueError
            If `depth` is not positive.
        """
        if depth < 1:
            raise ValueError(f"depth must be >= 1, got {depth}; 1 is the top-level modules")
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for name, tensor in self.diagonal.items():
            module = ".".join(name.split(".")[:-1][:depth]) or name
            sums[module] = sums.get(module, 0.0) + float(tensor.double().sum())
            counts[module] = counts.get(module, 0) + tensor.numel()
        total, number = sum(sums.values()), sum(counts.values())
        return [
            FisherShare(
                module=module,
                num_parameters=counts[module],
                share=sums[module] / total if total else 0.0,
                mean=sums[module] / counts[module] / (total / number) if total else 0.0,
            )
            for module in sorted(sums)
        ]

    def table(self, depth: int = 1) -> str:
        """`shares` as text, a module a line."""
        shares = self.shares(depth)
        width = max(6, *(len(one.module) for one in shares)) + 2
        lines = [f"{'module':{width}s} {'parameters':>11s} {'share':>7s} {'mean':>7s}"]
        lines += [
            f"{one.module:{width}s} {one.num_parameters:11d} {one.share:7.1%} {one.mean:7.2f}"
            for one in shares
        ]
        return "\n".join(lines)


def weights_digest(modules: nn.Module) -> str:
    """A hash of the parameters and saved buffers of a model, the same on every device.

    Arguments
    ---------
    modules : Module
        The model.

    Returns
    -------
    str
        16 hexadecimal digits.

    Example
    -------
    >>> layer = nn.Linear(2, 2)
    >>> before = weights_digest(layer)
    >>> nn.init.zeros_(layer.bias).sum().item(), weights_digest(layer) == before
    (0.0, False)
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(modules.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(safetensors.torch.save({"": tensor.detach().cpu().contiguous()}))
    return digest.hexdigest()[:16]


def names_digest(names: Iterable[str]) -> str:
    """A hash of names in their order, 16 hexadecimal digits."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
