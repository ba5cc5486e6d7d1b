"""Merging and checking of recipe YAMLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb_alexa.training.configuration import Configuration, ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "part.yaml").write_text("double: !ref <size> * 2\nlayer: !new:torch.nn.ReLU\n")
    (tmp_path / "base.yaml").write_text(
        "size: 4\n"
        "include: [part.yaml]\n"
        "linear: !new:torch.nn.Linear\n"
        "    in_features: !ref <size>\n"
        "    out_features: !ref <double>\n"
        "used: {a: 1, b: 2}\n"
    )
    (tmp_path / "delta.yaml").write_text("base: base.yaml\nsize: 5\nused: {b: 3}\n")
    return tmp_path


def test_parts_share_one_namespace(folder: Path) -> None:
    built = Configuration.from_file(folder / "base.yaml").build()
    assert built["linear"].weight.shape == (8, 4)


def test_a_delta_changes_what_it_names(folder: Path) -> None:
    configuration = Configuration.from_file(folder / "delta.yaml", "used: {a: 7}")
    assert configuration.build()["linear"].weight.shape == (10, 5)
    assert configuration.values()["used"] == {"a": 7, "b": 3}


def test_a_delta_replaces_a_whole_object_by_its_tag(folder: Path) -> None:
    (folder / "other.yaml").write_text("base: base.yaml\nlinear: !new:torch.nn.Tanh\n")
    assert type(Configuration.from_file(folder / "other.yaml").build()["linear"]).__name__ == "Tanh"


def test_an_override_extends_an_object_s_arguments(folder: Path) -> None:
    built = Configuration.from_file(folder / "base.yaml", {"linear": {"bias": False}}).build()
    assert built["linear"].bias is None


def test_a_delta_with_a_part_takes_the_part_for_the_base_s_keys(folder: Path) -> None:
    (folder / "deep.yaml").write_text(
        "size: 6\ndepth: 2\nlinear: !new:torch.nn.Tanh\nsequence: [!ref <linear>, !ref <layer>]\n"
    )
    (folder / "deeper.yaml").write_text("base: base.yaml\ninclude: [deep.yaml]\ndepth: 3\n")
    configuration = Configuration.from_file(folder / "deeper.yaml")
    # The part replaces the base's linear and size and adds its own; then the difference counts.
    assert {"size": 6, "double": 12, "depth": 3}.items() <= configuration.values().items()
    built = configuration.build()
    assert type(built["linear"]).__name__ == "Tanh"
    assert built["sequence"] == [built["linear"], built["layer"]]


def test_the_last_part_of_a_delta_wins(folder: Path) -> None:
    (folder / "small.yaml").write_text("size: 1\n")
    (folder / "large.yaml").write_text("size: 9\n")
    (folder / "both.yaml").write_text("base: base.yaml\ninclude: [small.yaml, large.yaml]\n")
    assert Configuration.from_file(folder / "both.yaml").values()["size"] == 9


def test_a_delta_of_a_delta_with_a_part_changes_the_part_s_keys(folder: Path) -> None:
    (folder / "deep.yaml").write_text("depth: 2\n")
    (folder / "deeper.yaml").write_text("base: base.yaml\ninclude: [deep.yaml]\n")
    (folder / "deepest.yaml").write_text("base: deeper.yaml\ndepth: 5\n")
    assert Configuration.from_file(folder / "deepest.yaml").values()["depth"] == 5


def test_a_typo_in_a_delta_with_a_part_is_refused(folder: Path) -> None:
    (folder / "deep.yaml").write_text("depth: 2\n")
    (folder / "typo.yaml").write_text("base: base.yaml\ninclude: [deep.yaml]\ndetph: 3\n")
    with pytest.raises(ConfigurationError, match="typo.yaml sets.*'detph': did you mean 'depth'"):
        Configuration.from_file(folder / "typo.yaml")
    (folder / "typo.yaml").write_text("base: base.yaml\ninclude: [dep.yaml]\n")
    with pytest.raises(ConfigurationError, match="no file .*dep.yaml .included by .*typo.yaml"):
        Configuration.from_file(folder / "typo.yaml")


def test_a_list_of_objects_may_be_referred_to_anywhere(folder: Path) -> None:
    """A blank line or a comment after such a reference used to make broken YAML of it."""
    (folder / "list.yaml").write_text(
        "kept:\n    layers: !ref <layers>  # all of them\n\n"
        "layers:\n"
        "    - !new:torch.nn.Linear\n        in_features: 2\n        out_features: 3\n"
    )
    built = Configuration.from_file(folder / "list.yaml").build()
    assert built["kept"]["layers"][0] is built["layers"][0]
    assert built["layers"][0].out_features == 3


def test_a_comment_reads_no_key(folder: Path) -> None:
    (folder / "note.yaml").write_text("size: 4\nused: !ref <size>  # and <spare>\nspare: 1\n")
    with pytest.raises(ConfigurationError, match="spare: no known key is similar"):
        Configuration.from_file(folder / "note.yaml").check_keys({"used"})


@pytest.mark.parametrize("overrides", ["sise: 3", {"sise": 3}])
def test_an_unknown_override_names_the_nearest_key(folder: Path, overrides: str | dict) -> None:
    with pytest.raises(ConfigurationError, match="unknown key 'sise'.*did you mean 'size'"):
        Configuration.from_file(folder / "base.yaml", overrides)


def test_a_typo_in_a_delta_is_refused(folder: Path) -> None:
    (folder / "typo.yaml").write_text("base: base.yaml\nused: {aa: 3}\n")
    with pytest.raises(ConfigurationError, match=r"typo.yaml sets the unknown key 'aa'"):
        Configuration.from_file(folder / "typo.yaml")


def test_a_key_that_nothing_reads_is_refused(folder: Path) -> None:
    Configuration.from_file(folder / "base.yaml").check_keys({"linear", "layer", "used"})
    (folder / "part.yaml").write_text(
        "double: 8\nlayer: 3\nlaier: 4\n"
    )  # a typo in an included file
    with pytest.raises(ConfigurationError, match="laier: did you mean 'layer'"):
        Configuration.from_file(folder / "base.yaml").check_keys({"linear", "layer", "used"})


def test_a_wrong_argument_names_class_and_argument(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="torch.nn.Linear.*out_featuers"):
        Configuration.from_file(folder / "base.yaml", {"linear": {"out_featuers": 3}}).build()


def test_files_that_include_each_other_are_refused(folder: Path) -> None:
    (folder / "part.yaml").write_text("include: [base.yaml]\n")
    with pytest.raises(ConfigurationError, match="includes itself"):
        Configuration.from_file(folder / "base.yaml")


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file .*nothing.yaml"):
        Configuration.from_file(folder / "nothing.yaml")
    (folder / "delta.yaml").write_text("base: nothing.yaml\n")
    with pytest.raises(ConfigurationError, match="nothing.yaml .included by .*delta.yaml"):
        Configuration.from_file(folder / "delta.yaml")


def test_broken_yaml_names_the_file(folder: Path) -> None:
    (folder / "part.yaml").write_text("a: [1, 2\nb: }")
    with pytest.raises(ConfigurationError, match="part.yaml is no YAML"):
        Configuration.from_file(folder / "base.yaml")
