"""What all trained models share: opening a folder or a model of the hub, and reading audio."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import EntryNotFoundError
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig, fetch
from torch import Tensor

from sb_alexa.inference.audio_sources import read_recording
from sb_alexa.inference.model_folder import FILES, Model, ModelFolderError, read_model_folder

if TYPE_CHECKING:
    from typing_extensions import Self


class ModelInterface(Pretrained):
    """Base of the interfaces of trained models.

    Arguments
    ---------
    modules : dict
        What `MODULES_NEEDED` names, at least.
    hparams : dict
        What `HPARAMS_NEEDED` names, at least.
    run_opts : dict | None
        SpeechBrain's run options, for example ``{"device": "cuda:0"}``.

    Raises
    ------
    ModelFolderError
        If a part is missing.
    """

    # Of a model folder on the hub; a model may be without them.
    OPTIONAL_FILES: Sequence[str] = ()

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        hparams: Mapping[str, Any],
        run_opts: Mapping[str, Any] | None = None,
        freeze_params: bool = True,
    ) -> None:
        missing = [key for key in self.HPARAMS_NEEDED if key not in hparams]
        missing += [key for key in self.MODULES_NEEDED if key not in modules]
        if missing:
            raise ModelFolderError(
                f"the model has no {', '.join(missing)}; write the folder with all keys of the "
                "recipe's model (model_configuration)"
            )
        super().__init__(dict(modules), dict(hparams), _with_device(run_opts), freeze_params)
        # The transcript of a batch must not depend on what training left switched on.
        self.mods.eval()

    @classmethod
    def from_hparams(
        cls,
        source: str | os.PathLike[str],
        savedir: str | os.PathLike[str] | None = None,
        overrides: str | Mapping[str, Any] | None = None,
        run_opts: Mapping[str, Any] | None = None,
        *,
        trusted_constructors: Collection[str] = (),
        fetch_config: FetchConfig | None = None,
    ) -> Self:
        """Open a model folder. Unlike SpeechBrain's method of this name, it is safe for folders of
        strangers.

        Arguments
        ---------
        source : str or path-like
            The folder that training wrote, or the name of a model on the Hugging Face hub
            (``user/model``).
        savedir : str or path-like, optional
            Where to put what is downloaded; by default the cache of huggingface_hub. Local folders
            are used in place.
        overrides : str | Mapping | None
            Changes to the YAML, for example ``{"search": {"max_symbols_per_frame": 3}}``.
        run_opts : Mapping | None
            SpeechBrain's run options. By default the model runs on the first CUDA device, if there
            is one.
        trusted_constructors : collection of str
            Full names of classes of your own that the YAML may construct.
        fetch_config : FetchConfig | None
            SpeechBrain's options for downloading (revision, token, ...).

        Returns
        -------
        Self
            Ready to use.

        Raises
        ------
        FileNotFoundError
            If the source is neither a folder nor a model on the hub.
        ModelFolderError
            If the folder is not a whole model.
        UnsafeYamlError
            If its YAML asks for anything that a model does not need.
        """
        config = fetch_config or FetchConfig()
        folder = _local_folder(source, savedir, config, cls.OPTIONAL_FILES)
        model = read_model_folder(folder, overrides, trusted_constructors=trusted_constructors)
        return cls._of_folder(model, folder, run_opts)

    @classmethod
    def _of_folder(cls, model: Model, folder: Path, run_opts: Mapping[str, Any] | None) -> Self:
        """Wrap a model that lies in a folder, where there may be more to read."""
        return cls.from_model(model, run_opts)

    @classmethod
    def from_model(cls, model: Model, run_opts: Mapping[str, Any] | None = None) -> Self:
        """Wrap a model that is open already.

        Arguments
        ---------
        model : Model
            From `read_model_folder`.
        run_opts : Mapping | None
            SpeechBrain's run options.

        Returns
        -------
        Self
            Ready to use.
        """
        hparams = dict(model.hparams)
        if model.word_pieces is not None:
            hparams["word_pieces"] = model.word_pieces
        return cls(model.modules, hparams, run_opts)

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.hparams.sample_rate

    def load_audio(
        self, path: str | os.PathLike[str], savedir: str | os.PathLike[str] | None = None
    ) -> Tensor:
        """Read a recording as the model wants it.

        Arguments
        ---------
        path : str or path-like
            An audio file; channels are averaged and other sample rates converted.
        savedir : str or path-like, optional
            Ignored: files are read in place.

        Returns
        -------
        Tensor
            (N,) on the model's device.
        """
        return read_recording(path, self.sample_rate).to(self.device)


def _with_device(run_opts: Mapping[str, Any] | None) -> dict[str, Any]:
    """SpeechBrain would also choose accelerators that lack float64, which running sums need."""
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    options = {"device": device, **(run_opts or {})}
    _check_device(str(options["device"]))
    return options


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device {name!r} is none that torch knows; give cpu, or such as cuda:0"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA "
            "devices; give cpu, or leave it out"
        )


def _local_folder(
    source: str | os.PathLike[str],
    savedir: str | os.PathLike[str] | None,
    fetch_config: FetchConfig,
    optional_files: Sequence[str],
) -> Path:
    if Path(source).is_dir():
        return Path(source)
    name = os.fspath(source)
    if Path(source).exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise FileNotFoundError(f"there is no folder {name}; give the folder of a trained model")

    def get(file: str) -> Path:
        return Path(fetch(file, source=name, savedir=savedir, fetch_config=fetch_config))

    try:
        paths = [get(file) for file in FILES]
        for file in optional_files:
            try:
                get(file)
            except Exception as error:
                if not _says_absent(error):
                    raise
    except Exception as error:  # the hub, its client and the network fail in many ways
        raise FileNotFoundError(
            f"there is no folder {name}, and no such model can be had from the Hugging Face hub: "
            f"{error}"
        ) from error
    return paths[0].parent


def _says_absent(error: BaseException | None) -> bool:
    """Whether an error of fetching, or one that it comes from, is that there is no such file."""
    while error is not None:
        if isinstance(error, EntryNotFoundError) or "File not found on HF hub" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
