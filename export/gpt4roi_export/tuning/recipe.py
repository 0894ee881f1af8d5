"""What a tuning run shall do, as a TOML file; checked as a whole before anything is loaded.

Knows neither torch nor what the data files hold.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gpt4roi_export import plain_paths
from gpt4roi_runtime.errors import SettingsError

Part = Literal["encoder", "region", "projector", "lora"]
"""What can learn: the encoder's last blocks, the region module, its rows of the prompt, the language model's low-rank
additions."""

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Weight = Annotated[float, msgspec.Meta(ge=0.0, le=1000.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class DataFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One JSONL file of scenes.

    Attributes:
        path: Relative to the recipe's folder, or absolute.
        weight: How often an epoch shows each of its dialogues; 0.5 shows every other one, drawn anew each epoch.
    """

    path: Path
    weight: Positive = 1.0


class LearningRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Highest learning rate of each part; a part at 0 does not learn.

    Attributes:
        encoder: Of the encoder's blocks behind stride 16.
        region: Of the region module.
        projector: Of what turns readings into rows of the prompt.
        lora: Of the low-rank additions to the language model.
    """

    encoder: Weight = 0.0
    region: Weight = 0.0
    projector: Weight = 0.0
    lora: Weight = 0.0

    @property
    def learns_to_read(self) -> bool:
        """Whether anything learns that reads pictures."""
        return bool(self.encoder or self.region)


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One part of a run, with data and rates of its own.

    Attributes:
        name: For logs; unique in the recipe.
        data: What is learned from.
        rates: Highest learning rates; what is above zero learns.
        steps: Length in steps; either this or ``epochs``.
        epochs: Length in passes over the data.
        tokens_per_step: Rows of the prompts and answers of a step, where the language model takes part.
        pictures_per_step: Most pictures of a step.
        answer_weight: Of the language loss; at 0 the language model is not even loaded.
        concept_weight: Of the names' and colors' cross-entropy in the region module.
        color_share: Weight of the colors' part of it; that of the names' is 1.
        encoder_share: The same of the names that the encoder alone reads, where it learns.
        feature_weight: Of how far the encoder's features leave the published ones on pictures where nothing is named,
            as a share of their square; only where the encoder learns.
        name_dropout: Share of ImageNet's names that a step reads as if training never showed them, so that the encoder
            learns to tell them too, and not the correction behind it alone.
        label_smoothing: Share of a name's target that is spread over all names.
        box_jitter: Most that a side of a picture's box is moved, as a share of the box.
        warm_up: Share of the steps in which the rates rise from zero.
        final_rate: Share of the highest rate at which the cosine ends.
        weight_decay: Of AdamW.
        seed: Of the data's order and of all that is drawn.
    """

    name: str
    data: Annotated[tuple[DataFile, ...], msgspec.Meta(min_length=1)]
    rates: LearningRates
    steps: Count | None = None
    epochs: Count | None = None
    tokens_per_step: Count = 2500
    pictures_per_step: Count = 16
    answer_weight: Weight = 1.0
    concept_weight: Weight = 0.0
    color_share: Weight = 0.5
    encoder_share: Weight = 0.5
    feature_weight: Weight = 0.0
    name_dropout: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    label_smoothing: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    box_jitter: Annotated[float, msgspec.Meta(ge=0.0, le=0.4)] = 0.0
    warm_up: Share = 0.05
    final_rate: Share = 0.1
    weight_decay: Weight = 0.0
    seed: Seed = 0


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The low-rank additions ``scale * B @ A`` to every matrix of the language model.

    Attributes:
        rank: Rows of ``A``.
        alpha: ``scale`` is ``alpha / rank``.
        dropout: Share of the inputs of ``A`` that is left out in training.
        seed: Of the first ``A``; ``B`` starts at zero.
    """

    rank: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    alpha: Positive = 32.0
    dropout: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    seed: Seed = 0

    @property
    def scale(self) -> float:
        """Factor on ``B @ A``."""
        return self.alpha / self.rank


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run.

    Attributes:
        base: GGUF of the language model, or the folder of a bundle that holds one; None takes the published one.
        begin_with: Folder that an earlier run wrote, whose numbers are the first ones here.
        stage: What is done, in this order.
        lora: The additions to the language model.
        dtype: Of the frozen language model; ``auto`` takes bfloat16 where the machine multiplies it natively.
        device: ``auto`` takes a GPU if torch has one.
        threads: Of torch; None takes every physical core this process may use.
        checkpoint_s: Seconds between checkpoints: the most work that a kill can lose.
        cache: Folder for the maps of the encoder's front; None puts it beside the run's results.
    """

    stage: Annotated[tuple[Stage, ...], msgspec.Meta(min_length=1)]
    base: Path | None = None
    begin_with: Path | None = None
    lora: Lora = Lora()
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, msgspec.Meta(ge=1, le=512)] | None = None
    checkpoint_s: Positive = 240.0
    cache: Path | None = None


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe; its relative paths become relative to its own folder.

    Raises:
        SettingsError: It cannot be read, or does not hold what a recipe does.
    """
    try:
        recipe = msgspec.toml.decode(path.read_bytes(), type=Recipe, dec_hook=plain_paths.decoded)
    except OSError as failed:
        raise SettingsError(f"cannot read {path}: {failed.strerror}", "Name a recipe in TOML.") from failed
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as wrong:
        raise SettingsError(f"{path} is not a recipe: {wrong}", "Compare it with one that works.") from wrong
    for stage in recipe.stage:
        _check_stage(stage)
    _check_names([stage.name for stage in recipe.stage])
    return _with_paths_from(recipe, path.absolute().parent)


def _check_stage(stage: Stage) -> None:
    if (stage.steps is None) == (stage.epochs is None):
        raise SettingsError(
            f"stage {stage.name!r} has {'neither' if stage.steps is None else 'both'} of steps and epochs",
            "Give exactly one of them.",
        )
    rates = stage.rates
    if stage.answer_weight == 0.0 and stage.concept_weight == 0.0:
        raise SettingsError(f"stage {stage.name!r} has no loss", "Set answer_weight or concept_weight above 0.")
    if stage.answer_weight == 0.0 and (rates.lora or rates.projector):
        raise SettingsError(
            f"stage {stage.name!r} has answer_weight 0, so lora and projector learn nothing",
            "Set their rates to 0, or answer_weight above 0.",
        )
    if stage.name_dropout and stage.answer_weight:
        raise SettingsError(
            f"stage {stage.name!r} has name_dropout beside answers, which would be about other names",
            "Set answer_weight or name_dropout to 0.",
        )
    if not (rates.encoder or rates.region or rates.projector or rates.lora):
        raise SettingsError(f"stage {stage.name!r} has no rate above 0, so nothing learns", "Set one under rates.")


def _check_names(names: list[str]) -> None:
    for name in names:
        if not name.strip() or names.count(name) > 1:
            raise SettingsError(f"the stage name {name!r} is empty or used twice", "Give every stage its own name.")


def _with_paths_from(recipe: Recipe, folder: Path) -> Recipe:
    stages = tuple(
        msgspec.structs.replace(
            stage, data=tuple(DataFile(path=folder / file.path, weight=file.weight) for file in stage.data)
        )
        for stage in recipe.stage
    )
    return msgspec.structs.replace(
        recipe,
        stage=stages,
        base=_from(folder, recipe.base),
        begin_with=_from(folder, recipe.begin_with),
        cache=_from(folder, recipe.cache),
    )


def _from(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path
