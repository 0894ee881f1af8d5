"""The models that learn, and the loss of a step; knows no optimiser, no file and no loop."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gpt4roi_export.efficientnet_lite import N_CLASSES
from gpt4roi_export.modules.tuned import RegionReading, Trunk, TunedVision
from gpt4roi_export.scene import RegionFacts
from gpt4roi_export.tuning.answer_loss import answer_losses
from gpt4roi_export.tuning.concepts import COLOR, ENCODER, FEATURES, Concepts, Seen, see
from gpt4roi_export.tuning.imagined import Vocabulary, imagine_colors, imagine_names
from gpt4roi_export.tuning.llama import Llama
from gpt4roi_export.tuning.lora import LoraMatrices
from gpt4roi_export.tuning.packing import pack
from gpt4roi_export.tuning.recipe import Part, Stage
from gpt4roi_export.tuning.sequences import WHOLE_PICTURE, TalkRows
from gpt4roi_export.tuning.stage_data import Item, StageData

_WHOLE = RegionFacts(box=(0.0, 0.0, 1.0, 1.0))


@dataclass(frozen=True)
class Models:
    """What there is to tune.

    Attributes:
        vision: Region module and rows.
        vocabulary: Names it tells.
        llama: The frozen language model, where a stage needs it.
        lora: Its additions.
        published: The encoder before it learned anything.
    """

    vision: TunedVision
    vocabulary: Vocabulary
    llama: Llama | None
    lora: LoraMatrices | None
    published: Trunk

    def parts(self) -> Mapping[Part, dict[str, nn.Parameter]]:
        """Every parameter that can learn, by its name in files."""
        names = {id(parameter): f"vision.{name}" for name, parameter in self.vision.named_parameters()}
        return {
            "encoder": {names[id(parameter)]: parameter for parameter in self.vision.encoder_parameters()},
            "region": {names[id(parameter)]: parameter for parameter in self.vision.region_parameters()},
            "projector": {names[id(parameter)]: parameter for parameter in self.vision.projector_parameters()},
            "lora": {} if self.lora is None else self.lora.named(),
        }


def frozen_copy(encoder: Trunk) -> Trunk:
    """The encoder as it is now, whatever will be learned."""
    kept = copy.deepcopy(encoder)
    kept.requires_grad_(requires_grad=False)
    return kept


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step.

    Attributes:
        total: What is minimised.
        by_task: Mean loss of each task's tokens, of names and of colors.
        n_rows: Rows the language model saw.
        n_answer_rows: Rows it was asked to say.
    """

    total: Tensor
    by_task: Mapping[str, float]
    n_rows: int
    n_answer_rows: int


@dataclass(frozen=True)
class _Wanted:
    """Regions of a step: scene and number of each, without repetition."""

    keys: Sequence[tuple[int, int]]
    place: Mapping[tuple[int, int], int]


class Learner:
    """Losses of steps of one stage.

    Args:
        models: What learns.
        stage: Weights of the losses, and what is frozen.
        data: What it learns from.
        device: Where to compute.
    """

    def __init__(
        self,
        models: Models,
        stage: Stage,
        data: StageData,
        device: torch.device,
    ) -> None:
        self._models, self._stage, self._device = models, stage, device
        self._scenes, self._maps = data.scenes, data.maps
        self._concepts = Concepts(models.vision, models.published, models.vocabulary.index, stage.label_smoothing)

    def loss(self, items: Sequence[Item], draw: np.random.Generator) -> StepLoss:
        """Loss of the items of a step.

        Args:
            items: All of a kind: with dialogues, or without.
            draw: Chance for what is imagined.
        """
        wanted = self._wanted(items)
        reading, seen = self._read(wanted, draw)
        total = torch.zeros((), device=self._device)
        by_task: dict[str, float] = {}
        if self._stage.concept_weight and seen is not None:
            stage = self._stage
            shares = {ENCODER: stage.encoder_share, COLOR: stage.color_share, FEATURES: stage.feature_weight}
            facts = [self._facts(key) for key in wanted.keys if self._is_pictured(key)]
            for name, loss in self._concepts.losses(facts, seen).items():
                share = shares.get(name, 1.0)
                total = total + self._stage.concept_weight * share * loss
                by_task[name] = float(loss.detach())
        if not self._stage.answer_weight:
            return StepLoss(total, by_task, 0, 0)
        rows = self._models.vision.rows(reading)
        talks = [(item.scene, item.talk) for item in items if item.talk is not None]
        losses, tasks, n_rows = self._answers(talks, rows, wanted)
        by_task |= _means(losses.detach(), tasks)
        return StepLoss(total + self._stage.answer_weight * losses.mean(), by_task, n_rows, len(losses))

    def _wanted(self, items: Sequence[Item]) -> _Wanted:
        """What the dialogues mention; with the concept loss, every region of a picture too."""
        keys: dict[tuple[int, int], None] = {}
        for item in items:
            placed = self._scenes[item.scene]
            if item.talk is not None:
                keys |= {(item.scene, number): None for _, number in item.talk.slots}
            if self._stage.concept_weight and placed.picture is not None:
                keys |= {(item.scene, number): None for number in range(1, len(placed.scene.regions) + 1)}
        return _Wanted(tuple(keys), {key: place for place, key in enumerate(keys)})

    def _facts(self, key: tuple[int, int]) -> RegionFacts:
        scene, number = key
        return _WHOLE if number == WHOLE_PICTURE else self._scenes[scene].scene.regions[number - 1]

    def _boxes(self, keys: Sequence[tuple[int, int]]) -> Tensor:
        boxes = []
        for key in keys:
            width, height = (1, 1) if key[1] == WHOLE_PICTURE else self._scenes[key[0]].scene.size
            x1, y1, x2, y2 = self._facts(key).box
            boxes.append((x1 / width, y1 / height, x2 / width, y2 / height))
        return torch.tensor(boxes, dtype=torch.float32, device=self._device).reshape(-1, 4)

    def _read(self, wanted: _Wanted, draw: np.random.Generator) -> tuple[RegionReading, Seen | None]:
        """Read pictures where there are any, imagine the rest, and put both into the order of ``wanted``."""
        shown = [key for key in wanted.keys if self._is_pictured(key)]
        unseen = [key for key in wanted.keys if not self._is_pictured(key)]
        seen = self._seen(shown, draw) if shown else None
        readings = [*([seen.reading] if seen else []), *([self._imagined(unseen, draw)] if unseen else [])]
        order = torch.tensor([wanted.place[key] for key in (*shown, *unseen)], device=self._device).argsort()
        together = RegionReading(
            name_logits=torch.cat([reading.name_logits for reading in readings])[order],
            encoder_logits=torch.cat([reading.encoder_logits for reading in readings])[order],
            color_logits=torch.cat([reading.color_logits for reading in readings])[order],
            features=torch.cat([reading.features for reading in readings])[order],
            boxes=torch.cat([reading.boxes for reading in readings])[order],
        )
        return together, seen

    def _is_pictured(self, key: tuple[int, int]) -> bool:
        return self._scenes[key[0]].picture is not None

    def _seen(self, keys: Sequence[tuple[int, int]], draw: np.random.Generator) -> Seen:
        scenes = sorted({scene for scene, _ in keys})
        place = {scene: index for index, scene in enumerate(scenes)}
        image_of_box = torch.tensor([place[scene] for scene, _ in keys], device=self._device)
        boxes = self._moved(self._boxes(keys), draw)
        with torch.set_grad_enabled(self._stage.rates.learns_to_read):
            return see(
                self._models.vision, self._maps.of(scenes, self._device), boxes, image_of_box, self._hidden(draw)
            )

    def _hidden(self, draw: np.random.Generator) -> Tensor | None:
        """ImageNet's names that this step reads by the encoder alone; the others it could not."""
        if not self._stage.name_dropout:
            return None
        hidden = np.zeros(self._models.vision.sizes.n_names, dtype=np.float32)
        hidden[:N_CLASSES] = draw.random(N_CLASSES) < self._stage.name_dropout
        return torch.from_numpy(hidden).to(self._device)

    def _moved(self, boxes: Tensor, draw: np.random.Generator) -> Tensor:
        """Boxes as another hand might have drawn them."""
        jitter = self._stage.box_jitter
        if not jitter:
            return boxes
        moves = torch.from_numpy(draw.uniform(-jitter, jitter, tuple(boxes.shape)).astype(np.float32)).to(self._device)
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        return (boxes + moves * sides).clamp(0.0, 1.0)

    def _imagined(self, keys: Sequence[tuple[int, int]], draw: np.random.Generator) -> RegionReading:
        facts = [self._facts(key) for key in keys]
        imagined = np.stack([imagine_names(region, self._models.vocabulary, draw) for region in facts])
        names = torch.from_numpy(imagined).to(self._device)
        colors = np.stack([imagine_colors(region, draw) for region in facts])
        return RegionReading(
            name_logits=names,
            encoder_logits=names,
            color_logits=torch.from_numpy(colors).to(self._device),
            features=torch.zeros(len(keys), self._models.vision.sizes.feature_width, device=self._device),
            boxes=self._boxes(keys),
        )

    def _answers(
        self, talks: Sequence[tuple[int, TalkRows]], rows: Tensor, wanted: _Wanted
    ) -> tuple[Tensor, list[str], int]:
        """Loss and task of every token to be said, and how many rows were computed."""
        llama = self._models.llama
        if llama is None:
            raise AssertionError("a stage with an answer loss loads the language model")
        ids = [talk.ids for _, talk in talks]
        batch = join(talks, wanted.place, rows.shape[1])
        packing = pack([len(one) for one in ids], self._device)
        inputs = llama.embed(torch.from_numpy(batch.ids).to(self._device).clamp(min=0))
        places = torch.from_numpy(batch.slot_rows).to(self._device)
        regions = rows[torch.from_numpy(batch.slot_regions).to(self._device)].flatten(0, 1).to(inputs.dtype)
        inputs = inputs.index_copy(0, places, regions)
        hidden = llama(inputs, packing, self._models.lora)
        targets = torch.from_numpy(batch.targets).to(self._device)
        before = torch.from_numpy(batch.before).to(self._device)
        return answer_losses(hidden[before], llama.head, targets), batch.tasks, len(batch.ids)


@dataclass(frozen=True)
class Joined:
    """Dialogues one after another, as ``llama.pack`` lays them out.

    Attributes:
        ids: Tokens, -1 where a region's row goes.
        slot_rows: Packed rows of all regions.
        slot_regions: Which region goes into each run of these.
        targets: Tokens to be said.
        before: The packed row before each of them.
        tasks: Task of each of them.
    """

    ids: np.ndarray
    slot_rows: np.ndarray
    slot_regions: np.ndarray
    targets: np.ndarray
    before: np.ndarray
    tasks: list[str]


def join(talks: Sequence[tuple[int, TalkRows]], place: Mapping[tuple[int, int], int], n_slot_rows: int) -> Joined:
    """Put dialogues one after another.

    Args:
        talks: The scene of each, and its rows.
        place: Which region of the step a scene's region is.
        n_slot_rows: Rows of a region.
    """
    slot_rows, slot_regions, before, tasks = [], [], [], []
    start = 0
    for scene, talk in talks:
        for first, number in talk.slots:
            slot_rows.append(np.arange(first, first + n_slot_rows) + start)
            slot_regions.append(place[scene, number])
        said = np.flatnonzero(talk.turn >= 0)
        before.append(said - 1 + start)
        tasks += [talk.tasks[turn] for turn in talk.turn[said]]
        start += len(talk)
    ids = np.concatenate([talk.ids for _, talk in talks]).astype(np.int64)
    said_after = np.concatenate(before)
    return Joined(
        ids=ids,
        slot_rows=np.concatenate([np.zeros(0, dtype=np.int64), *slot_rows]),
        slot_regions=np.array(slot_regions, dtype=np.int64),
        targets=ids[said_after + 1],
        before=said_after,
        tasks=tasks,
    )


def _means(losses: Tensor, tasks: Sequence[str]) -> dict[str, float]:
    values = losses.cpu().numpy()
    names = sorted(set(tasks))
    index = np.array([names.index(task) for task in tasks])
    return {name or "answer": float(values[index == place].mean()) for place, name in enumerate(names)}
