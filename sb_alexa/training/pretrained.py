"""Start a training from the weights of a trained model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sb_alexa.encoders.separation import SeparationEncoder
from sb_alexa.inference.model_folder import WEIGHTS

logger = logging.getLogger(__name__)


def load_pretrained(modules: Mapping[str, nn.Module], folder: str | Path) -> None:
    """Copy the weights of a model folder into the modules of a training.

    Parameters that the folder lacks keep their initial values; weights of the folder that the
    modules lack are left out. Both are said in the log, so that an architecture may change between
    the two. A separation encoder with several channels starts from one with a single channel by
    copying it. A checkpoint of the training itself, if there is one, is loaded later and wins.

    Arguments
    ---------
    modules : mapping of str to Module
        By their names in the YAML.
    folder : str | Path
        What a recipe leaves: ``model.safetensors`` and so on.

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    ValueError
        If the file is damaged, a shape differs, or not one weight fits.
    """
    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(
            f"pretrained_folder={folder} holds no {WEIGHTS}; name the output folder of a finished "
            "run"
        )
    try:
        tensors = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or not safetensors: {error}") from error
    own = nn.ModuleDict(dict(modules)).state_dict()
    tensors = _adapted(modules, tensors)
    shared = {name: tensor for name, tensor in tensors.items() if name in own}
    _check(own, shared, path)
    nn.ModuleDict(dict(modules)).load_state_dict(shared, strict=False)
    fresh = sorted(set(own) - set(shared))
    left_out = sorted(set(tensors) - set(shared))
    logger.info("%d tensors loaded from %s", len(shared), path)
    for names, what in ((fresh, "keep their initial values"), (left_out, "are left out")):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            logger.info("%d tensors %s: %s%s", len(names), what, ", ".join(names[:5]), more)


def _adapted(modules: Mapping[str, nn.Module], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let modules that can start from the weights of a smaller one say how."""
    adapted = dict(tensors)
    for key, module in modules.items():
        if isinstance(module, SeparationEncoder):
            prefix = f"{key}."
            part = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            adapted |= {prefix + n: t for n, t in module.adapted_weights(part).items()}
    return adapted


def _check(own: Mapping[str, Tensor], shared: Mapping[str, Tensor], path: Path) -> None:
    if not shared:
        raise ValueError(f"no weight of {path} belongs to a module of this YAML")
    for name, tensor in shared.items():
        if own[name].shape != tensor.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} in {path} and {tuple(own[name].shape)} in "
                "this YAML: take the sizes of the pretrained model, or leave pretrained_folder away"
            )
