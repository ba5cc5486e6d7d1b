"""Model folders: written whole, opened safely, and refused with a reason."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

import sb_alexa
from sb_alexa.inference import model_folder
from sb_alexa.inference.allowed_constructors import ALLOWED_CONSTRUCTORS
from sb_alexa.inference.model_configuration import MODEL_KEYS, model_configuration
from sb_alexa.inference.model_folder import (
    FILES,
    HYPERPARAMS,
    WEIGHTS,
    WORD_PIECES,
    ModelFolderError,
    read_model_folder,
    write_model_folder,
)
from sb_alexa.inference.safe_yaml import UnsafeYamlError
from sb_alexa.streaming.module import StreamingModule
from tests.tiny_model import RECIPE, tiny_parts, write_tiny_model, write_word_pieces

ALL_FILES = (*FILES, WORD_PIECES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


@pytest.mark.parametrize("name", sorted(ALLOWED_CONSTRUCTORS))
def test_every_allowed_constructor_is_a_class_of_that_name(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    cls = getattr(importlib.import_module(module), attribute)
    assert inspect.isclass(cls)
    if name.startswith("sb_alexa."):
        assert f"{cls.__module__}.{cls.__qualname__}" == name


def test_every_streaming_module_can_be_opened() -> None:
    """A new encoder that nobody put on the list would train for days and then not open."""
    found = set()
    for package in ("encoders", "nn", "streaming", "transducer"):
        path = [str(Path(sb_alexa.__file__).parent / package)]
        for info in pkgutil.iter_modules(path, f"sb_alexa.{package}."):
            if info.name == "sb_alexa.streaming.session":
                continue
            for cls in vars(importlib.import_module(info.name)).values():
                if inspect.isclass(cls) and issubclass(cls, StreamingModule):
                    found.add(cls)
    names = {f"{c.__module__}.{c.__name__}" for c in found if not inspect.isabstract(c)}
    assert names <= ALLOWED_CONSTRUCTORS, f"not listed: {sorted(names - ALLOWED_CONSTRUCTORS)}"
    assert len(names) > 10


def test_written_and_read_again(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(ALL_FILES)
    model = read_model_folder(folder)
    assert list(model.hparams) == list(MODEL_KEYS)
    assert set(model.modules) == {"features", "encoder", "predictor", "joiner", "ctc_head"}
    assert not any(module.training for module in model.modules.values())
    assert model.hparams["search"].predictor is model.modules["predictor"]
    assert model.hparams["search"].joiner is model.modules["joiner"]
    assert model.hparams["search"].max_symbols_per_frame == 3
    stored = safetensors.torch.load_file(folder / WEIGHTS)
    for key, module in model.modules.items():
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, stored[f"{key}.{name}"])
    assert model.modules["features"].layers[1].mean.tolist() == [-2.0] * 8


def test_configuration_is_resolved(folder: Path) -> None:
    text = (folder / HYPERPARAMS).read_text()
    for word in ("!ref", "!include", "!apply", "lr:", "&id", "#"):
        assert word not in text
    assert "predictor: *predictor" in text
    assert "input_size: 24" in text


def test_configuration_of_a_recipe_file_with_overrides(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    text = model_configuration(recipe, {"n_mels": 4})
    assert "input_size: 12" in text
    assert text == model_configuration(RECIPE, {"n_mels": 4})


def test_configuration_writes_shared_plain_values_out() -> None:
    text = model_configuration(
        "channels: [1, 2]\nsample_rate: !ref <channels>\nsearch: !ref <channels>",
        keys=["sample_rate", "search"],
    )
    assert text == "sample_rate: [1, 2]\nsearch: [1, 2]\n"


def test_configuration_errors() -> None:
    with pytest.raises(ModelFolderError, match="the recipe lacks ctc_head, which"):
        model_configuration(RECIPE.replace("ctc_head:", "head:"))
    bad = RECIPE.replace("sample_rate: 16000", "sample_rate: !apply:int [16000]")
    with pytest.raises(UnsafeYamlError, match="!apply:int is refused"):
        model_configuration(bad)


def test_the_code_of_a_folder_never_runs(folder: Path) -> None:
    sprung = folder / "sprung"
    with (folder / HYPERPARAMS).open("a") as file:
        file.write(f"\nextra: !apply:os.system ['touch {sprung}']\n")
    with pytest.raises(UnsafeYamlError, match=r"hyperparams\.yaml, line \d+: .*os\.system"):
        read_model_folder(folder)
    assert not sprung.exists()


def test_overrides(folder: Path) -> None:
    model = read_model_folder(folder, {"search": {"max_symbols_per_frame": 2}})
    assert model.hparams["search"].max_symbols_per_frame == 2
    with pytest.raises(UnsafeYamlError, match="!new:subprocess.Popen"):
        read_model_folder(folder, "search: !new:subprocess.Popen [ls]")
    with pytest.raises(
        ModelFolderError, match=r"(?s)encoder\.lstm\.layers\.1.*no override that changes"
    ):
        read_model_folder(folder, {"encoder": {"num_layers": 1}})
    with pytest.raises(ModelFolderError, match=r"has shape \(4,\) instead of \(6,\)"):
        read_model_folder(folder, {"encoder": {"local_channels": [4, 6]}})


def test_classes_of_the_user_need_their_consent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = "torch.nn.modules.linear.Linear"
    recipe = RECIPE.replace("!new:torch.nn.Linear", f"!new:{own}")
    folder = write_tiny_model(tmp_path / "model", recipe)
    assert f"opening it takes trusted_constructors=['{own}']" in caplog.text
    with pytest.raises(UnsafeYamlError, match=rf"trusted_constructors=\('{own}',\)"):
        read_model_folder(folder)
    assert "ctc_head" in read_model_folder(folder, trusted_constructors=[own]).modules


def test_trusted_constructors(folder: Path) -> None:
    path = folder / HYPERPARAMS
    path.write_text(path.read_text() + "extra: !new:fractions.Fraction [1, 3]\n")
    with pytest.raises(UnsafeYamlError, match="fractions"):
        read_model_folder(folder)
    model = read_model_folder(folder, trusted_constructors=["fractions.Fraction"])
    assert str(model.hparams["extra"]) == "1/3"
    with pytest.raises(TypeError, match="a collection of names"):
        read_model_folder(folder, trusted_constructors="fractions.Fraction")


def rewrite_weights(folder: Path, change) -> None:
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    change(tensors)
    safetensors.torch.save_file(tensors, folder / WEIGHTS)


def test_weights_are_loaded_strictly(folder: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["joiner.output.bias"]
        tensors["joiner.surplus"] = torch.zeros(1)
        tensors["ctc_head.weight"] = torch.zeros(3, 10)

    rewrite_weights(folder, change)
    with pytest.raises(ModelFolderError) as error:
        read_model_folder(folder)
    message = str(error.value)
    assert "missing: joiner.output.bias\n" in message
    assert "unexpected: joiner.surplus\n" in message
    assert "ctc_head.weight has shape (3, 10) instead of (17, 10)" in message


def test_wrong_modules_are_not_written(folder: Path) -> None:
    model = read_model_folder(folder)
    before = (folder / WEIGHTS).read_bytes()
    modules = {**model.modules, "joiner": torch.nn.Linear(2, 2)}
    with pytest.raises(ModelFolderError, match="unexpected: joiner.bias, joiner.weight"):
        write_model_folder(
            folder,
            configuration=(folder / HYPERPARAMS).read_text(),
            modules=modules,
            word_pieces_path=folder / WORD_PIECES,
        )
    assert (folder / WEIGHTS).read_bytes() == before


def test_writing_leaves_the_random_numbers_alone(tmp_path: Path, folder: Path) -> None:
    model = read_model_folder(folder)
    state = torch.get_rng_state()
    write_model_folder(
        tmp_path / "again",
        configuration=(folder / HYPERPARAMS).read_text(),
        modules=model.modules,
        word_pieces_path=folder / WORD_PIECES,
    )
    assert torch.equal(torch.get_rng_state(), state)
    for name in ALL_FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_full_disk_leaves_the_old_model_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = read_model_folder(folder)
    before = {name: (folder / name).read_bytes() for name in ALL_FILES}
    with torch.no_grad():
        model.modules["joiner"].output.bias.add_(1.0)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_folder.safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_model_folder(
            folder,
            configuration=before[HYPERPARAMS].decode(),
            modules=model.modules,
            word_pieces_path=folder / WORD_PIECES,
        )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_word_pieces_of_another_model(folder: Path, tmp_path: Path) -> None:
    from sb_alexa.corpora.word_pieces import train_word_pieces

    train_word_pieces(["ABCDEFGH"], folder / WORD_PIECES, num_word_pieces=10, model_type="char")
    with pytest.raises(ModelFolderError, match=r"the joiner has 17 labels .* 11, blank included"):
        read_model_folder(folder)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle", b"\x80\x02}q\x00."])
def test_weights_that_are_not_safetensors(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelFolderError, match="damaged or not safetensors"):
        read_model_folder(folder)


def test_truncated_weights(folder: Path) -> None:
    path = folder / WEIGHTS
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(ModelFolderError, match="damaged"):
        read_model_folder(folder)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelFolderError, match=f"is not a model folder: it lacks {name}"):
        read_model_folder(folder)


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read_model_folder(tmp_path / "nowhere")
    (tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(ModelFolderError, match=r"model\.ckpt cannot be opened safely"):
        read_model_folder(tmp_path)


def test_a_yaml_that_is_no_text(folder: Path) -> None:
    (folder / HYPERPARAMS).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFolderError, match="not text"):
        read_model_folder(folder)


def test_tied_weights_are_written(tmp_path: Path) -> None:
    """safetensors refuses tensors that share memory."""
    parts = tiny_parts(tmp_path / "model")
    linear = torch.nn.Linear(3, 3)
    linear.bias.data = linear.weight.data[0]
    model_folder.write_model_folder(
        tmp_path / "tied",
        configuration="ctc_head: !new:torch.nn.Linear {in_features: 3, out_features: 3}\n",
        modules={"ctc_head": linear},
        word_pieces_path=write_word_pieces(tmp_path / "w.model"),
    )
    read = read_model_folder(tmp_path / "tied").modules["ctc_head"]
    assert torch.equal(read.bias, linear.bias)
    assert parts["encoder"].output_size == 10


def test_the_yaml_is_json_like_data(folder: Path) -> None:
    """Tools without this package can read the configuration: tags apart, it is plain data."""
    from ruamel.yaml import YAML

    tree = YAML().load((folder / HYPERPARAMS).read_text())
    # HyperPyYAML, once it has loaded a file, makes ruamel read "(2, 4)" as an object of its own.
    encoder = json.loads(json.dumps(tree["encoder"], default=str))
    assert encoder["hidden_size"] == 12 and encoder["num_layers"] == 2
