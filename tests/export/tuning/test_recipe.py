from pathlib import Path

import pytest

from gpt4roi_export.tuning.recipe import read_recipe
from gpt4roi_runtime.errors import SettingsError

GOOD = """
base = "model.gguf"
cache = "/elsewhere"
[lora]
rank = 4
alpha = 2.0
[[stage]]
name = "words"
data = [{path = "scenes.jsonl", weight = 0.5}]
rates = {lora = 1e-3}
steps = 5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, GOOD))
    assert recipe.base == tmp_path / "model.gguf"
    assert recipe.stage[0].data[0].path == tmp_path / "scenes.jsonl"
    assert recipe.cache == Path("/elsewhere")
    assert recipe.begin_with is None
    assert recipe.lora.scale == 0.5


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("steps = 5", "steps = 5\nspeed = 3", "speed"),
        ("rank = 4", "rank = 4\ntype = 1", "type"),
        ("steps = 5", "steps = 0", "steps"),
        ("steps = 5", "", "neither of steps and epochs"),
        ("steps = 5", "steps = 5\nepochs = 1", "both of steps and epochs"),
        ("steps = 5", "steps = 5\nanswer_weight = 0.0", "no loss"),
        ("steps = 5", "steps = 5\nanswer_weight = 0.0\nconcept_weight = 1.0", "lora and projector learn nothing"),
        ("lora = 1e-3", "lora = 0.0", "nothing learns"),
        ("steps = 5", "steps = 5\nname_dropout = 0.3", "about other names"),
        ("steps = 5", "steps = 5\nname_dropout = 1.0", "name_dropout"),
        ("lora = 1e-3", "lora = -1.0", "lora"),
        ("weight = 0.5", "weight = 0.0", "weight"),
        ('"words"', '" "', "' '"),
        ("[[stage]]", "[stage]", "stage"),
        ('"model.gguf"', "7", "base"),
        ("rank = 4", "rank = ", "not a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused_with_what_is_wrong(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError, match=complaint):
        read_recipe(write(tmp_path, GOOD.replace(old, new)))


def test_two_stages_of_one_name_are_refused(tmp_path: Path) -> None:
    stage = GOOD[GOOD.index("[[stage]]") :]
    with pytest.raises(SettingsError, match="used twice"):
        read_recipe(write(tmp_path, GOOD + stage))


def test_a_missing_recipe_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        read_recipe(tmp_path / "none.toml")
