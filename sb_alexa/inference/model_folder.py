"""A trained model as a folder: configuration, weights and word pieces, safe to open.

===================  ==========================================================================
hyperparams.yaml     plain values and `!new:` only, every reference and include resolved; an object
                     that two others share is written once with an anchor (`&predictor`) and then
                     named by an alias (`*predictor`)
model.safetensors    all weights and statistics, named `<key of the YAML>.<name in the module>`
word_pieces.model    SentencePiece; a model of speakers has none
===================  ==========================================================================
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.inference import safe_yaml, yaml_objects
from sb_alexa.inference.allowed_constructors import ALLOWED_CONSTRUCTORS
from sb_alexa.transducer.channel_search import ChannelSearch

logger = logging.getLogger(__name__)

HYPERPARAMS = "hyperparams.yaml"
WEIGHTS = "model.safetensors"
WORD_PIECES = "word_pieces.model"
# Of every model; recognisers have word pieces besides.
FILES = (HYPERPARAMS, WEIGHTS)

# The search owns no weights: it works with the predictor and the joiner.
_WITHOUT_WEIGHTS = ("search",)


class ModelFolderError(ValueError):
    """A folder that is not a model, or whose parts do not belong together."""


@dataclass(frozen=True)
class Model:
    """What a model folder holds.

    Arguments
    ---------
    hparams : dict
        Everything of the YAML by top-level key, the modules included.
    modules : dict
        The modules that own weights, in eval mode on the CPU.
    word_pieces : WordPieces | None
        Labels to text; None for a model of speakers.
    """

    hparams: dict[str, Any]
    modules: dict[str, nn.Module]
    word_pieces: WordPieces | None


def write_model_folder(
    folder: str | os.PathLike[str],
    *,
    configuration: str,
    modules: Mapping[str, nn.Module],
    word_pieces_path: str | os.PathLike[str] | None = None,
) -> None:
    """Write a model that `from_hparams` opens.

    All files are written under temporary names before the first takes its place, so an error, a
    full disk or a kill leaves an older model in the folder whole.

    Arguments
    ---------
    folder : str or path-like
        Created when it is missing; other files in it are left alone.
    configuration : str
        From `model_configuration`. Classes of your own are welcome; whoever opens the folder has to
        name them as trusted.
    modules : mapping
        Trained modules by their key in the configuration; wrappers of distributed training are
        taken off.
    word_pieces_path : str or path-like, optional
        SentencePiece model; left out for a model of speakers only.

    Raises
    ------
    ModelFolderError
        If the weights are not those of the configuration, word pieces are missing or superfluous,
        or the folder could not be opened again for another reason.

    Example
    -------
    >>> from sb_alexa.corpora.word_pieces import train_word_pieces
    >>> folder = getfixture("tmp_path")
    >>> pieces = folder / "pieces.model"
    >>> _ = train_word_pieces(["TEA TWO"], pieces, num_word_pieces=9, model_type="char")
    >>> write_model_folder(
    ...     folder / "model",
    ...     configuration="ctc_head: !new:torch.nn.Linear {in_features: 2, out_features: 3}",
    ...     modules={"ctc_head": torch.nn.Linear(2, 3)},
    ...     word_pieces_path=pieces,
    ... )
    >>> sorted(path.name for path in (folder / "model").iterdir())
    ['hyperparams.yaml', 'model.safetensors', 'word_pieces.model']
    >>> read_model_folder(folder / "model").modules
    {'ctc_head': Linear(in_features=2, out_features=3, bias=True)}
    """
    folder = Path(folder)
    tensors = _named_weights(modules)
    # Built once more, so that what cannot be opened is never written. Training goes on with the
    # random numbers it would have had.
    root = safe_yaml.parse(configuration, "the configuration")
    safe_yaml.check(root, allowed=None)
    with torch.random.fork_rng(devices=[]):
        hparams = yaml_objects.build(root)
    _check_weights(_named_weights(_modules_with_weights(hparams)), tensors, "the modules")
    if (word_pieces_path is None) != is_speaker_model(hparams):
        raise ModelFolderError(
            f"word_pieces_path is {word_pieces_path}: a recogniser has word pieces, and a model of "
            "speakers (one with a speaker_encoder) has none"
        )
    if word_pieces_path is not None:
        _check_labels(hparams, WordPieces(word_pieces_path), folder)
    with ExitStack() as files:
        # Left in reverse order: the YAML takes its place last.
        yaml_path, weights_path = (
            files.enter_context(replaced_atomically(folder / name)) for name in FILES
        )
        if word_pieces_path is not None:
            pieces_path = files.enter_context(replaced_atomically(folder / WORD_PIECES))
            pieces_path.write_bytes(Path(word_pieces_path).read_bytes())
        safetensors.torch.save_file(tensors, weights_path, metadata={"format": "pt"})
        yaml_path.write_text(configuration, encoding="utf-8")
    if unlisted := sorted(safe_yaml.class_names(root) - ALLOWED_CONSTRUCTORS):
        logger.warning(
            "%s holds classes that are not part of this package; opening it takes "
            "trusted_constructors=%s",
            folder,
            unlisted,
        )


def read_model_folder(
    folder: str | os.PathLike[str],
    overrides: str | Mapping[str, Any] | None = None,
    *,
    trusted_constructors: Collection[str] = (),
) -> Model:
    """Open a model folder; nothing in it can run code.

    Every tag of the YAML and of the overrides is compared with an exact list of classes before
    anything is built, and weights are read from safetensors only, never unpickled.

    Arguments
    ---------
    folder : str or path-like
        As written by `write_model_folder`.
    overrides : str | Mapping | None
        Changes to the YAML, as YAML text or dict, for example ``{"search":
        {"max_symbols_per_frame": 3}}``.
    trusted_constructors : collection of str
        Full names of further classes that the YAML may construct, because you know what they do.

    Returns
    -------
    Model
        On the CPU, in eval mode.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ModelFolderError
        If it is not a model folder, a file is damaged, or the weights are not those of the YAML.
    UnsafeYamlError
        If the YAML asks for something not on the list.
    """
    folder = Path(folder)
    _check_folder(folder)
    path = folder / HYPERPARAMS
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path}: not text: {error}") from error
    hparams = _build_checked(text, str(path), overrides, trusted_constructors)
    has_word_pieces = not is_speaker_model(hparams)
    if has_word_pieces and not (folder / WORD_PIECES).is_file():
        raise _not_a_model_folder(folder, [WORD_PIECES])
    modules = _modules_with_weights(hparams)
    try:
        tensors = safetensors.torch.load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ModelFolderError(
            f"{folder / WEIGHTS}: damaged or not safetensors: {error}; "
            "write or copy the folder again"
        ) from error
    _check_weights(_named_weights(modules), tensors, str(folder / WEIGHTS))
    for key, module in modules.items():
        prefix = f"{key}."
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        module.load_state_dict(own, strict=True)
        module.eval()
    if not has_word_pieces:
        return Model(hparams, modules, None)
    word_pieces = WordPieces(folder / WORD_PIECES)
    _check_labels(hparams, word_pieces, folder)
    return Model(hparams, modules, word_pieces)


def is_multitalker(hparams: Mapping[str, Any]) -> bool:
    """Whether a model is one for several talkers: with output channels or turn tokens.

    Arguments
    ---------
    hparams : mapping
        `Model.hparams`.

    Returns
    -------
    bool
        True for a model of `MultiTalkerASR`, False for one of `TransducerASR`.

    Example
    -------
    >>> from sb_alexa.multitalker.turn_tokens import TurnTokens
    >>> is_multitalker({"turn_tokens": TurnTokens(500)}), is_multitalker({"sample_rate": 16000})
    (True, False)
    """
    return "turn_tokens" in hparams or isinstance(hparams.get("search"), ChannelSearch)


def is_speaker_model(hparams: Mapping[str, Any]) -> bool:
    """Whether a model tells speakers apart rather than what they say.

    Arguments
    ---------
    hparams : mapping
        `Model.hparams`.

    Returns
    -------
    bool
        True for a model of `SpeakerRecognition`.

    Example
    -------
    >>> is_speaker_model({"sample_rate": 16000, "encoder": torch.nn.Identity()})
    False
    """
    return "speaker_encoder" in hparams


def _build_checked(
    text: str,
    source: str,
    overrides: str | Mapping[str, Any] | None,
    trusted_constructors: Collection[str],
) -> dict[str, Any]:
    if isinstance(trusted_constructors, str):
        raise TypeError(
            "trusted_constructors is a collection of names; write "
            f"trusted_constructors=({trusted_constructors!r},)"
        )
    root = safe_yaml.parse(text, source)
    differences = safe_yaml.parse_overrides(overrides)
    if differences is not None:
        safe_yaml.merge(root, differences)
    safe_yaml.follow_references(root)
    safe_yaml.check(root, ALLOWED_CONSTRUCTORS | frozenset(trusted_constructors))
    return yaml_objects.build(root)


def _modules_with_weights(hparams: Mapping[str, Any]) -> dict[str, nn.Module]:
    return {
        key: value
        for key, value in hparams.items()
        if isinstance(value, nn.Module) and key not in _WITHOUT_WEIGHTS
    }


def _named_weights(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    tensors = {}
    for key, module in modules.items():
        if isinstance(module, nn.parallel.DistributedDataParallel):
            module = module.module
        for name, tensor in module.state_dict().items():
            # Cloned: safetensors refuses tensors that share memory (tied weights).
            tensors[f"{key}.{name}"] = tensor.detach().cpu().contiguous().clone()
    return tensors


def _check_weights(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: str
) -> None:
    missing, unexpected = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    shapes = [
        f"{name} has shape {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(set(expected) & set(found))
        if found[name].shape != expected[name].shape
    ]
    if missing or unexpected or shapes:
        raise ModelFolderError(
            f"{source}: not the weights of the model in {HYPERPARAMS}\n"
            f"  missing: {_listing(missing)}\n"
            f"  unexpected: {_listing(unexpected)}\n"
            f"  wrong shape: {_listing(shapes)}\n"
            "take both files from the same training run, and no override that changes sizes"
        )


def _listing(names: Sequence[str], longest: int = 20) -> str:
    more = f", and {len(names) - longest} more" if len(names) > longest else ""
    return (", ".join(names[:longest]) or "none") + more


def _check_labels(hparams: Mapping[str, Any], word_pieces: WordPieces, folder: Path) -> None:
    expected, tokens = word_pieces.num_labels, hparams.get("turn_tokens")
    needed = f"{expected}, blank included"
    if tokens is not None:
        if tokens.num_word_pieces != word_pieces.num_labels - 1:
            raise ModelFolderError(
                f"{folder}: turn_tokens follow {tokens.num_word_pieces} word pieces and "
                f"{WORD_PIECES} has {word_pieces.num_labels - 1}; take both from the same training "
                "run"
            )
        expected = tokens.num_labels
        needed = f"{expected}, blank and turn tokens included"
    num_labels = getattr(hparams.get("joiner"), "num_labels", expected)
    if num_labels != expected:
        raise ModelFolderError(
            f"{folder}: the joiner has {num_labels} labels and {WORD_PIECES} "
            f"{needed}; take both from the same training run"
        )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; give the folder of a trained model")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise _not_a_model_folder(folder, missing)


def _not_a_model_folder(folder: Path, missing: Sequence[str]) -> ModelFolderError:
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".ckpt", ".pt", ".pth"))
    hint = f" {', '.join(pickled)} cannot be opened safely;" if pickled else ""
    return ModelFolderError(
        f"{folder} is not a model folder: it lacks {', '.join(missing)};{hint} "
        "give the folder that training writes at its end"
    )
