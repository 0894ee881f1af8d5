"""The loss of a step, held against one that is computed row by row without any packing."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional

from gpt4roi_export.efficientnet_lite import N_CLASSES
from gpt4roi_export.embedded_prompt import embedded_prompt
from gpt4roi_export.modules.tuned import RegionReading
from gpt4roi_export.scene import COLORS
from gpt4roi_export.tuning.language_weights import read_language_weights
from gpt4roi_export.tuning.learner import Learner, Models, frozen_copy
from gpt4roi_export.tuning.llama import Llama
from gpt4roi_export.tuning.lora import LoraMatrices
from gpt4roi_export.tuning.maps import MapsCache
from gpt4roi_export.tuning.packing import pack
from gpt4roi_export.tuning.recipe import DataFile, LearningRates, Lora, Stage
from gpt4roi_export.tuning.sequences import SLOT, SequenceMaker
from gpt4roi_export.tuning.stage_data import StageData, read_stage
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from tests.export.tuning.conftest import SIZES, picture, scene, small_vision, written

CPU = torch.device("cpu")


def stage(data: Path, **changes: float) -> Stage:
    made = Stage(
        name="s",
        data=(DataFile(path=data),),
        rates=LearningRates(encoder=1.0, region=1.0, projector=1.0, lora=1.0),
        concept_weight=0.7,
        color_share=0.4,
        label_smoothing=0.1,
        steps=1,
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def models(tiny_gguf: Path) -> Models:
    vision, vocabulary = small_vision()
    for parameter in vision.projector_parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    weights = read_language_weights(tiny_gguf)
    lora = LoraMatrices(weights, Lora(rank=2))
    for parameter in lora.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(2))
    return Models(vision, vocabulary, Llama(weights, torch.float32), lora, frozen_copy(vision.encoder))


@pytest.fixture
def data(tmp_path: Path, models: Models, language: LlamaCppDecoder) -> StageData:
    """Scenes 0 and 2 have pictures; every scene has a size of its own, so that a box tells whose it is."""
    images = [picture(tmp_path / f"{n}.png", n) for n in range(3)]
    scenes = [
        msgspec.structs.replace(scene(n, Path(images[n].name) if n != 1 else None), size=(200 + 10 * n, 100))
        for n in range(3)
    ]
    path = written(tmp_path / "scenes.jsonl", scenes)
    cache = MapsCache(tmp_path / "cache", models.vision.maps, "", SIZES.side_px, CPU)
    return read_stage(stage(path), models.vocabulary, SequenceMaker(embedded_prompt(), language, SIZES.n_rows), cache)


def learner_of(models: Models, data: StageData, **changes: float) -> Learner:
    return Learner(models, stage(Path("x"), **changes), data, CPU)


def reading_of(learner: Learner, data: StageData, items: list[int]) -> tuple[list[tuple[int, int]], RegionReading]:
    wanted = learner._wanted([data.items[item] for item in items])
    return list(wanted.keys), learner._read(wanted, np.random.default_rng(0))[0]


def box_of(data: StageData, scene_index: int, number: int) -> list[float]:
    if number == 0:
        return [0.0, 0.0, 1.0, 1.0]
    facts = data.scenes[scene_index].scene
    width, height = facts.size
    x1, y1, x2, y2 = facts.regions[number - 1].box
    return [x1 / width, y1 / height, x2 / width, y2 / height]


def test_every_region_is_read_in_its_place(models: Models, data: StageData) -> None:
    # Two dialogues a scene, so items 2 and 3 are of scene 1, which has no picture.
    keys, reading = reading_of(learner_of(models, data), data, [4, 2, 0])
    assert {scene_index for scene_index, _ in keys} == {0, 1, 2}
    expected = torch.tensor([box_of(data, *key) for key in keys])
    torch.testing.assert_close(reading.boxes, expected)
    for place, (scene_index, number) in enumerate(keys):
        imagined = scene_index == 1
        assert bool((reading.features[place] == 0.0).all()) == imagined
        if imagined and number:
            name = data.scenes[1].scene.regions[number - 1].name
            assert int(reading.name_logits[place].argmax()) == models.vocabulary.index[name or ""]
        if not imagined:
            maps = data.maps.of([scene_index], CPU)
            alone = models.vision.read(models.vision.pyramid(maps), reading.boxes[place : place + 1])
            torch.testing.assert_close(reading.name_logits[place], alone.name_logits[0], rtol=1e-4, atol=1e-4)


def test_regions_that_nobody_mentions_are_read_for_the_concept_loss_alone(models: Models, data: StageData) -> None:
    with_concepts, _ = reading_of(learner_of(models, data), data, [1])
    without, _ = reading_of(learner_of(models, data, concept_weight=0.0), data, [1])
    assert set(with_concepts) == {(0, 0), (0, 1), (0, 2)}
    assert set(without) == {(0, 0), (0, 2)}


def test_boxes_of_pictures_are_moved_within_the_picture(models: Models, data: StageData) -> None:
    keys, reading = reading_of(learner_of(models, data, box_jitter=0.2), data, [2, 4])
    for place, key in enumerate(keys):
        exact = torch.tensor(box_of(data, *key))
        moved = (reading.boxes[place] - exact).abs()
        assert bool((moved == 0.0).all()) == (key[0] == 1)
        side = float((exact[2:] - exact[:2]).max())
        assert float(moved.max()) <= 0.2 * side + 1e-6
    assert float(reading.boxes.min()) >= 0.0
    assert float(reading.boxes.max()) <= 1.0


def test_the_loss_is_that_of_the_plain_formula(models: Models, data: StageData) -> None:
    items = [0, 3, 4]
    learner = learner_of(models, data)
    loss = learner.loss([data.items[item] for item in items], np.random.default_rng(0))
    keys, reading = reading_of(learner, data, items)
    rows = models.vision.rows(reading)
    losses: list[torch.Tensor] = []
    tasks: list[str] = []
    llama = models.llama
    assert llama is not None
    for item in items:
        talk = data.items[item].talk
        assert talk is not None
        inputs = llama.embed(torch.from_numpy(talk.ids.astype(np.int64)).clamp(min=0))
        for first, number in talk.slots:
            inputs[first : first + SIZES.n_rows] = rows[keys.index((data.items[item].scene, number))]
        hidden = llama(inputs, pack([len(talk)], CPU), models.lora)
        for place in range(len(talk)):
            if talk.turn[place] >= 0:
                assert talk.ids[place] != SLOT
                right = torch.tensor([int(talk.ids[place])])
                losses.append(functional.cross_entropy(llama.logits(hidden[place - 1 : place]), right))
                tasks.append(talk.tasks[talk.turn[place]])
    answer = torch.stack(losses)
    places = [place for place, key in enumerate(keys) if key[0] != 1 and key[1]]
    facts = [data.scenes[keys[place][0]].scene.regions[keys[place][1] - 1] for place in places]
    names = torch.tensor([models.vocabulary.index[one.name or ""] for one in facts])
    name = functional.cross_entropy(reading.name_logits[places], names, label_smoothing=0.1)
    red = [place for place, one in zip(places, facts, strict=True) if one.color == "red"]
    color = functional.cross_entropy(reading.color_logits[red], torch.full((len(red),), COLORS.index("red")))
    expected = answer.mean() + 0.7 * (name + 0.4 * color)
    torch.testing.assert_close(loss.total, expected, rtol=1e-4, atol=1e-4)
    assert loss.n_answer_rows == len(losses)
    assert loss.n_rows == sum(len(data.items[item].talk or ()) for item in items)
    yes_no = [float(one.detach()) for one, task in zip(losses, tasks, strict=True) if task == "yesno"]
    assert loss.by_task["yesno"] == pytest.approx(np.mean(yes_no), rel=1e-3)
    assert loss.by_task["concept:color"] == pytest.approx(float(color.detach()), rel=1e-3)


def test_every_part_gets_a_gradient(models: Models, data: StageData) -> None:
    models.vision.reader.name.shown.fill_(1.0)
    torch.nn.init.normal_(models.vision.reader.name.learned.weight)  # zero at first, and nothing passes through it
    for parameter in models.vision.encoder_parameters():
        parameter.requires_grad_()  # as the optimiser does where it has a rate
    learner_of(models, data).loss([data.items[0]], np.random.default_rng(0)).total.backward()
    for part, parameters in models.parts().items():
        assert parameters, part
        for name, parameter in parameters.items():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name


def test_a_region_module_without_a_rate_gets_none(models: Models, data: StageData) -> None:
    rates = LearningRates(lora=1.0, projector=1.0)
    frozen = Learner(models, msgspec.structs.replace(stage(Path("x")), rates=rates), data, CPU)
    frozen.loss([data.items[0]], np.random.default_rng(0)).total.backward()
    assert all(parameter.grad is None for parameter in models.vision.region_parameters())
    assert all(parameter.grad is None for parameter in models.vision.encoder_parameters())
    assert any(parameter.grad is not None for parameter in models.vision.projector_parameters())


def test_hidden_names_are_read_by_the_encoder_alone(models: Models, data: StageData) -> None:
    name = models.vision.reader.name
    name.shown.fill_(1.0)
    torch.nn.init.normal_(name.learned.weight)
    _, every = reading_of(learner_of(models, data), data, [0])
    _, some = reading_of(learner_of(models, data, name_dropout=0.5), data, [0])
    changed = (every.name_logits != some.name_logits).any(dim=0)
    assert not changed[N_CLASSES:].any()
    assert 0.3 < float(changed[:N_CLASSES].float().mean()) < 0.7
