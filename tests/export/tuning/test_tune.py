"""Whole runs on the tiny model: what they leave, and what happens when they are disturbed."""

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from gpt4roi_export.adapter import read_adapter
from gpt4roi_export.merged_gguf import merge
from gpt4roi_export.tuned_part import TunedPart
from gpt4roi_export.tuning.language_weights import read_language_weights
from gpt4roi_export.tuning.llama import Llama
from gpt4roi_export.tuning.lora import LoraMatrices
from gpt4roi_export.tuning.packing import pack
from gpt4roi_export.tuning.recipe import DataFile, LearningRates, Lora, Recipe, Stage
from gpt4roi_export.tuning.report import Quiet, StepFacts
from gpt4roi_export.tuning.start import put_in_earlier_run
from gpt4roi_export.tuning.tune import run_recipe
from gpt4roi_runtime.errors import BundleError, NumericError, OutputError, SettingsError
from tests.export.tuning.conftest import loaded, picture, scene, small_vision, written
from tests.helpers.tiny_gguf import write_tiny_gguf

RESULTS = ("adapter.safetensors", "vision.safetensors")


class Crash(Exception):  # noqa: N818 - nothing is wrong
    """As if the process had been killed."""


@dataclass
class Watcher:
    """Remembers what it hears, and may do something after a number of steps."""

    after: int = -1
    act: Callable[[], None] = lambda: None
    notes: list[str] = field(default_factory=list)
    steps: list[StepFacts] = field(default_factory=list)
    begun: list[tuple[str, int, int]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def begin(self, stage: str, n_steps: int, done: int) -> None:
        self.begun.append((stage, n_steps, done))

    def step(self, facts: StepFacts) -> None:
        self.steps.append(facts)
        if len(self.steps) == self.after:
            self.act()


def crash() -> None:
    raise Crash


def press(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def data_in(folder: Path) -> Path:
    """Six scenes, two of them with pictures."""
    images = [picture(folder / f"{index}.png", index) for index in range(2)]
    return written(folder / "scenes.jsonl", [scene(n, Path(images[n].name) if n < 2 else None) for n in range(6)])


def recipe_for(data: Path, gguf: Path) -> Recipe:
    """Two stages: first the region module on the pictures, then everything on the dialogues."""
    files = (DataFile(path=data),)
    see = Stage(
        name="see",
        data=files,
        rates=LearningRates(encoder=1e-3, region=1e-2),
        answer_weight=0.0,
        concept_weight=1.0,
        box_jitter=0.1,
        pictures_per_step=1,
        steps=3,
    )
    talk = Stage(
        name="talk",
        data=files,
        rates=LearningRates(region=1e-3, projector=1e-2, lora=1e-2),
        concept_weight=0.5,
        tokens_per_step=250,
        steps=5,
        weight_decay=0.01,
    )
    return Recipe(
        stage=(see, talk),
        base=gguf,
        lora=Lora(rank=3, dropout=0.1),
        dtype="float32",
        device="cpu",
        threads=1,
        cache=data.parent / "cache",
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return data_in(tmp_path / "data")


@pytest.fixture
def recipe(data: Path, tiny_gguf: Path) -> Recipe:
    return recipe_for(data, tiny_gguf)


@pytest.fixture(scope="module")
def finished(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run, in another place than each test's own."""
    folder = tmp_path_factory.mktemp("finished")
    threads = torch.get_num_threads()
    assert run_recipe(recipe_for(data_in(folder / "data"), tiny_gguf), folder / "out", small_vision, Quiet())
    torch.set_num_threads(threads)
    return folder / "out"


@pytest.fixture
def straight(finished: Path) -> list[bytes]:
    """What that run left."""
    return results(finished)


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """Of that run's folder."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def only_talk(recipe: Recipe, **changes: object) -> Recipe:
    return msgspec.structs.replace(recipe, stage=(msgspec.structs.replace(recipe.stage[1], **changes),))


def results(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in RESULTS]


def test_a_run_leaves_what_a_bundle_is_made_of(finished: Path) -> None:
    out = finished
    part = TunedPart.of(out)
    adapter = read_adapter(part.adapter)
    assert adapter.scale == pytest.approx(32.0 / 3.0)
    assert len(adapter.pairs) == 14
    assert all(pair.b.any() for pair in adapter.pairs.values())
    vision = part.vision_weights()
    before = small_vision()[0].state_dict()
    learned = {name for name, tensor in vision.items() if not np.array_equal(tensor, before[name].half().numpy())}
    assert {"reader.name.learned.weight", "reader.color.weight", "words.offsets", "reader.name.shown"} <= learned
    assert {"encoder.trunk.blocks.15.project.weight", "encoder.trunk.head.weight"} <= learned
    of_front = ("encoder.trunk.stem", *(f"encoder.trunk.blocks.{block}." for block in range(15)))
    assert not any(name.startswith((*of_front, "words.names", "reader.name.closed_form")) for name in vision)
    # Of scenes 0 and 1, which have pictures: cat and horse, dog and cup.
    assert np.flatnonzero(vision["reader.name.shown"]).tolist() == [0, 1, 2, 3]
    story = json.loads((out / "tuned.json").read_text())
    assert [(stage["name"], stage["steps"]) for stage in story["stages"]] == [("see", 3), ("talk", 5)]
    assert story["stages"][1]["losses"]["loss"] > 0.0
    assert len(story["stages"][0]["data"][0]) == 64
    assert "torch" in story["versions"]
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [("see", n) for n in (1, 2, 3)] + [
        ("talk", n) for n in (1, 2, 3, 4, 5)
    ]
    assert {"name", "yesno"} <= set().union(*(line["by_task"] for line in lines))
    assert set(lines[0]["by_task"]) == {"concept:name", "concept:encoder", "concept:color"}


def test_the_same_recipe_gives_the_same_numbers(recipe: Recipe, straight: list[bytes], tmp_path: Path) -> None:
    assert run_recipe(recipe, tmp_path / "again", small_vision, Quiet())
    assert results(tmp_path / "again") == straight


@pytest.mark.parametrize("after", [2, 3, 6])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    recipe: Recipe, straight: list[bytes], tmp_path: Path, after: int
) -> None:
    often, out = msgspec.structs.replace(recipe, checkpoint_s=1e-9), tmp_path / "out"
    with pytest.raises(Crash):
        run_recipe(often, out, small_vision, Watcher(after, crash))
    watcher = Watcher()
    assert run_recipe(recipe, out, small_vision, watcher, resume=True)
    assert len(watcher.steps) == 8 - (after - 1)  # the step that was under way is done again
    assert results(out) == straight


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends(recipe: Recipe, straight: list[bytes], tmp_path: Path, number: signal.Signals) -> None:
    out, before = tmp_path / "out", signal.getsignal(number)
    watcher = Watcher(4, press(number))
    assert not run_recipe(recipe, out, small_vision, watcher)
    assert len(watcher.steps) == 4
    assert not (out / "adapter.safetensors").exists()
    assert signal.getsignal(number) is before
    watcher = Watcher()
    assert run_recipe(recipe, out, small_vision, watcher, resume=True)
    assert watcher.begun == [("talk", 5, 1)]
    assert results(out) == straight


def test_a_finished_run_can_be_resumed_in_vain(recipe: Recipe, straight: list[bytes], copy: Path) -> None:
    watcher = Watcher()
    assert run_recipe(recipe, copy, small_vision, watcher, resume=True)
    assert watcher.steps == []
    assert results(copy) == straight


def test_a_folder_with_a_run_is_not_overwritten(recipe: Recipe, copy: Path) -> None:
    with pytest.raises(SettingsError, match="already holds"):
        run_recipe(recipe, copy, small_vision, Quiet())


def test_another_recipes_checkpoint_is_refused(recipe: Recipe, copy: Path) -> None:
    other = only_talk(recipe)
    with pytest.raises(BundleError, match="another recipe"):
        run_recipe(other, copy, small_vision, Quiet(), resume=True)


def test_other_datas_checkpoint_is_refused(recipe: Recipe, data: Path, copy: Path) -> None:
    data.write_bytes(data.read_bytes() + b"\n")
    with pytest.raises(BundleError, match="other data"):
        run_recipe(recipe, copy, small_vision, Quiet(), resume=True)


def test_the_answers_are_learned(recipe: Recipe, tmp_path: Path) -> None:
    watcher = Watcher()
    longer = only_talk(recipe, steps=60, rates=LearningRates(projector=1e-2, lora=1e-2), concept_weight=0.0)
    run_recipe(msgspec.structs.replace(longer, lora=Lora(rank=3)), tmp_path / "out", small_vision, watcher)
    losses = [facts.loss for facts in watcher.steps]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:5])


def test_names_and_colors_are_learned(recipe: Recipe, tmp_path: Path) -> None:
    watcher = Watcher()
    stage = msgspec.structs.replace(recipe.stage[0], steps=40, box_jitter=0.0)
    run_recipe(msgspec.structs.replace(recipe, stage=(stage,)), tmp_path / "out", small_vision, watcher)
    losses = [facts.loss for facts in watcher.steps]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    assert not (tmp_path / "out" / "adapter.safetensors").exists()


def test_parts_without_a_rate_stay(recipe: Recipe, tmp_path: Path) -> None:
    run_recipe(only_talk(recipe, rates=LearningRates(lora=1e-2)), tmp_path / "out", small_vision, Quiet())
    before = small_vision()[0].state_dict()
    for name, tensor in TunedPart.of(tmp_path / "out").vision_weights().items():
        np.testing.assert_array_equal(tensor, before[name].half().numpy())


def test_the_saved_adapter_gives_the_models_logits(
    recipe: Recipe, finished: Path, tiny_gguf: Path, tmp_path: Path
) -> None:
    part = TunedPart.of(finished)
    weights = read_language_weights(tiny_gguf)
    lora = LoraMatrices(weights, recipe.lora).eval()
    put_in_earlier_run(finished, small_vision()[0], lora)
    llama, tokens = Llama(weights, torch.float32), [1, 300, 280, 275, 290, 281]
    with torch.no_grad():
        rows, packing = llama.embed(torch.tensor(tokens)), pack([len(tokens)], torch.device("cpu"))
        tuned = llama.logits(llama(rows, packing, lora)[-1:])[0].numpy()
        untuned = llama.logits(llama(rows, packing)[-1:])[0].numpy()
    merge(tiny_gguf, read_adapter(part.adapter), tmp_path / "merged.gguf", "F16", lambda _doing, _done: None)
    with closing(loaded(tmp_path / "merged.gguf")) as decoder:
        decoder.prefill(decoder.embed(tokens), lambda: False)
        native = decoder.logits()
    assert np.abs(native - tuned).max() < 0.1 * np.abs(native - untuned).max()


@pytest.mark.parametrize("rates", [
    LearningRates(lora=1e-12, projector=1e-12, region=1e-12),
    LearningRates(lora=1e-12),
    LearningRates(projector=1e-12),
])  # fmt: skip
def test_a_run_can_begin_with_another_ones_numbers(
    recipe: Recipe, finished: Path, tmp_path: Path, rates: LearningRates
) -> None:
    """What does not learn is passed on too."""
    stage = msgspec.structs.replace(recipe.stage[1], steps=1, rates=rates, weight_decay=0.0)
    after = msgspec.structs.replace(recipe, stage=(stage,), begin_with=finished)
    assert run_recipe(after, tmp_path / "after", small_vision, Quiet())
    first, second = TunedPart.of(finished), TunedPart.of(tmp_path / "after")
    for name, pair in read_adapter(first.adapter).pairs.items():
        np.testing.assert_array_equal(pair.b, read_adapter(second.adapter).pairs[name].b)
    assert second.vision_weights().keys() == first.vision_weights().keys()
    for name, tensor in first.vision_weights().items():
        np.testing.assert_allclose(tensor, second.vision_weights()[name], atol=1e-9)


def test_an_adapter_is_passed_on_where_only_the_region_module_learns(
    recipe: Recipe, straight: list[bytes], finished: Path, tmp_path: Path
) -> None:
    after = msgspec.structs.replace(recipe, stage=recipe.stage[:1], begin_with=finished)
    assert run_recipe(after, tmp_path / "after", small_vision, Quiet())
    assert results(tmp_path / "after")[0] == straight[0]
    assert results(tmp_path / "after")[1] != straight[1]


def test_beginning_with_another_rank_is_refused(recipe: Recipe, finished: Path, tmp_path: Path) -> None:
    after = msgspec.structs.replace(recipe, lora=Lora(rank=6, alpha=64.0), begin_with=finished)
    with pytest.raises(BundleError, match="shape"):
        run_recipe(after, tmp_path / "after", small_vision, Quiet())


def test_a_loss_that_is_no_number_stops_with_its_scenes_saved(recipe: Recipe, tmp_path: Path) -> None:
    spoiled = write_tiny_gguf(tmp_path / "spoiled.gguf", spoiled_weight=math.nan)
    with pytest.raises(NumericError, match=r"step 1 of stage 'talk' gave loss nan"):
        run_recipe(msgspec.structs.replace(only_talk(recipe), base=spoiled), tmp_path / "out", small_vision, Quiet())
    saved = [json.loads(line) for line in (tmp_path / "out" / "failed-step.jsonl").read_text().splitlines()]
    assert saved
    assert all(line["dialogues"] for line in saved)
    assert not (tmp_path / "out" / "adapter.safetensors").exists()


def test_bad_lines_are_counted_listed_and_not_used(recipe: Recipe, data: Path, tmp_path: Path) -> None:
    picture(data.parent / "broken.png").write_bytes(b"broken")
    strange = msgspec.structs.replace(
        scene(1), regions=tuple(msgspec.structs.replace(region, name="unheard of") for region in scene(1).regions)
    )
    bad = written(tmp_path / "bad.jsonl", [scene(7, Path("broken.png")), strange]).read_bytes()
    data.write_bytes(data.read_bytes() + bad + b"{\n" * 12)
    watcher = Watcher()
    run_recipe(only_talk(recipe, steps=1), tmp_path / "out", small_vision, watcher)
    listed = (tmp_path / "out" / "skipped.txt").read_text().splitlines()
    assert len(listed) == 14
    assert any("broken.png" in line and ":7: " in line for line in listed)
    assert any("unheard of" in line for line in listed)
    said = [note for note in watcher.notes if "scenes.jsonl" in note and note.startswith("  ")]
    assert len(said) == 10
    assert any("14 lines were skipped" in note for note in watcher.notes)
    assert json.loads((tmp_path / "out" / "tuned.json").read_text())["stages"][0]["skipped"] == 14


def test_a_stage_of_pictures_without_pictures_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    file = DataFile(path=written(tmp_path / "words.jsonl", [scene(0)]))
    stage = msgspec.structs.replace(recipe.stage[0], data=(file,))
    with pytest.raises(SettingsError, match="no picture"):
        run_recipe(msgspec.structs.replace(recipe, stage=(stage,)), tmp_path / "out", small_vision, Quiet())


def test_epochs_show_everything(recipe: Recipe, tmp_path: Path) -> None:
    watcher = Watcher()
    run_recipe(only_talk(recipe, steps=None, epochs=2, tokens_per_step=1), tmp_path / "out", small_vision, watcher)
    assert watcher.begun == [("talk", 24, 0)]  # six scenes of two dialogues, one a step


def test_an_out_folder_that_cannot_be_made_is_no_traceback(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        run_recipe(recipe, tmp_path / "out", small_vision, Quiet())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cuda"):
        run_recipe(msgspec.structs.replace(recipe, device="cuda"), tmp_path / "out", small_vision, Quiet())
