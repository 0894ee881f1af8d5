"""The options by which `ask`, `caption` and `chat` choose a model and its settings; knows no command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from gpt4roi_runtime.backends.llama_cpp_settings import ALL_LAYERS, MAX_GPU_LAYERS, LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.backends.vision_settings import (
    BACKENDS,
    PRECISIONS,
    VisionBackend,
    VisionPrecision,
    VisionSettings,
)
from gpt4roi_runtime.bundle.manifest import Decoding
from gpt4roi_runtime.choices import check_choices, check_lead, parse_choices
from gpt4roi_runtime.cli.console import bundle_option
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.geometry import Box, parse_box
from gpt4roi_runtime.image import DEFAULT_MAX_PIXELS
from gpt4roi_runtime.image_store import DEFAULT_BUDGET_BYTES, STORE_VARIABLE, ImageStore, store_folder
from gpt4roi_runtime.llm.decoder import Sampling

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class ModelOptions:
    """What the user typed; None where nothing."""

    bundle: Path
    temperature: float | None
    top_k: int
    top_p: float
    seed: int
    max_tokens: int | None
    threads: int | None
    context: int | None
    max_pixels: int
    kept_mb: int | None
    keep_images: bool
    store: Path | None
    store_mb: int
    vision_backend: VisionBackend
    vision_precision: VisionPrecision
    n_gpu_layers: int

    def engines(self) -> EngineSettings:
        """Settings for opening the bundle."""
        return EngineSettings(
            vision_threads=self.threads or 0,
            language=LlamaCppSettings(
                n_threads=self.threads,
                context_length=self.context,
                kept_bytes=None if self.kept_mb is None else self.kept_mb << 20,
                n_gpu_layers=self.n_gpu_layers,
            ),
            vision=VisionSettings(self.vision_backend, self.vision_precision),
        )

    def image_store(self, on_note: Callable[[str], None]) -> ImageStore | None:
        """Where photos are kept on disk, if the user wants them to be."""
        if self.store is None and not self.keep_images:
            return None
        return ImageStore(self.store or store_folder(), self.store_mb << 20, on_note)

    def sampling(self, recommended: Decoding) -> Sampling:
        """How tokens are chosen: the bundle's way, unless the user said otherwise."""
        temperature = recommended.temperature if self.temperature is None else self.temperature
        return Sampling(temperature=temperature, top_k=self.top_k, top_p=self.top_p, seed=self.seed)


def model_options(command: F) -> F:
    """Add the options; the command receives them one by one, and makes a ModelOptions of them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def numbered(texts: tuple[str, ...]) -> dict[int, Box]:
    """Boxes as typed, in order, as regions 1, 2, ...

    Raises:
        RegionError: A text is not a box.
    """
    return {number: parse_box(text) for number, text in enumerate(texts, start=1)}


def given_choices(choices: str | None, lead: str) -> tuple[str, tuple[str, ...] | None]:
    """What stands before every choice, and the choices, if any were typed.

    Raises:
        QuestionError: One of them cannot be an answer.
        SettingsError: There are first words, and no choices behind them.
    """
    if choices is not None:
        return check_lead(lead), check_choices(parse_choices(choices))
    if lead:
        raise SettingsError("--lead needs --choices", "Otherwise the model begins its answer by itself.")
    return "", None


_DEFAULTS = Sampling()
_OPTIONS = (
    bundle_option,
    click.option("--temperature", type=float, help="0 takes the likeliest token; default: the bundle's choice."),
    click.option("--top-k", type=int, default=_DEFAULTS.top_k, show_default=True, help="Keep the likeliest tokens."),
    click.option("--top-p", type=float, default=_DEFAULTS.top_p, show_default=True, help="Keep this much probability."),
    click.option("--seed", type=int, default=_DEFAULTS.seed, show_default=True, help="Start of the random numbers."),
    click.option("--max-tokens", type=int, help="Longest answer; default: the bundle's choice."),
    click.option("--threads", type=int, help="Processor threads; default: all cores."),
    click.option("--context", type=int, help="Tokens of prompt and answer together; default: the model's own."),
    click.option(
        "--max-pixels", type=click.IntRange(min=1), default=DEFAULT_MAX_PIXELS, show_default=True, help="Largest photo."
    ),
    click.option(
        "--kept-mb",
        type=click.IntRange(min=0),
        help="Most MiB of memory for photos asked about before; default: 256, or what is free.",
    ),
    click.option(
        "--keep-images",
        is_flag=True,
        envvar="GPT4ROI_KEEP_IMAGES",
        show_envvar=True,
        help="Keep on disk what was computed of a photo, so that it opens at once next time. It tells what the photo "
        "shows, so it is off unless you say so.",
    ),
    click.option(
        "--store",
        type=click.Path(path_type=Path),
        envvar=STORE_VARIABLE,
        show_envvar=True,
        help="The same, in a folder of your choice; `gpt4roi doctor` tells where it is otherwise.",
    ),
    click.option(
        "--store-mb",
        type=click.IntRange(min=0),
        default=DEFAULT_BUDGET_BYTES >> 20,
        show_default=True,
        help="Most MiB of that folder; what was used longest ago goes first.",
    ),
    click.option(
        "--vision-backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        help="Engine of the vision half; auto takes one on an NVIDIA GPU that has all it needs, else what `gpt4roi "
        "doctor --tune` found, else ONNX Runtime.",
    ),
    click.option(
        "--vision-precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="What the vision half multiplies in; bf16 needs OpenVINO and a processor that has it.",
    ),
    click.option(
        "--n-gpu-layers",
        "-ngl",
        type=click.IntRange(ALL_LAYERS, MAX_GPU_LAYERS),
        default=0,
        show_default=True,
        help="Layers of the language model for a GPU, -1 for all; needs a llama.cpp that was built for one.",
    ),
)
