"""Ask a vision-language model about boxes on an image, offline.

    from pathlib import Path
    from gpt4roi_runtime import Box, Pipeline, TextDelta, default_bundle, load_image

    with Pipeline.open(default_bundle()) as pipeline:
        image = pipeline.encode(load_image(Path("photo.jpg")))          # once an image
        for event in pipeline.ask(image, "What is <region1>?", {1: Box(40, 60, 220, 310)}):
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)

Every public name is imported when it is first used, so that importing the package costs milliseconds and loads no
engine.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
    from gpt4roi_runtime.backends.load import EngineSettings
    from gpt4roi_runtime.bundle.folder import Bundle, default_bundle, open_bundle
    from gpt4roi_runtime.bundle.manifest import Manifest
    from gpt4roi_runtime.confidence import Alternative, Choice, TokenScore
    from gpt4roi_runtime.errors import (
        BundleError,
        Cancelled,
        ContextOverflowError,
        EngineError,
        EngineMissingError,
        Gpt4RoiError,
        ImageError,
        InputError,
        NumericError,
        OutputError,
        QuestionError,
        RegionError,
        SettingsError,
        WorkerDiedError,
    )
    from gpt4roi_runtime.events import Chosen, Done, Event, RegionAnswer, TextDelta
    from gpt4roi_runtime.geometry import Box, parse_box
    from gpt4roi_runtime.image import load_image
    from gpt4roi_runtime.image_store import ImageStore
    from gpt4roi_runtime.llm.decoder import Sampling
    from gpt4roi_runtime.overlay import draw_regions, region_colour, save_overlay
    from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
    from gpt4roi_runtime.prompt import Turn
    from gpt4roi_runtime.proposing import Proposer
    from gpt4roi_runtime.verification import Check, verify_bundle
    from gpt4roi_runtime.vision.proposals import Proposal
    from gpt4roi_runtime.worker.client import WorkerImage, WorkerPipeline

_HOMES = {
    "backends.llama_cpp_settings": ("LlamaCppSettings",),
    "backends.load": ("EngineSettings",),
    "bundle.folder": ("Bundle", "default_bundle", "open_bundle"),
    "bundle.manifest": ("Manifest",),
    "errors": (
        "BundleError",
        "Cancelled",
        "ContextOverflowError",
        "EngineError",
        "EngineMissingError",
        "Gpt4RoiError",
        "ImageError",
        "InputError",
        "NumericError",
        "OutputError",
        "QuestionError",
        "RegionError",
        "SettingsError",
        "WorkerDiedError",
    ),
    "confidence": ("Alternative", "Choice", "TokenScore"),
    "events": ("Chosen", "Done", "Event", "RegionAnswer", "TextDelta"),
    "geometry": ("Box", "parse_box"),
    "image": ("load_image",),
    "image_store": ("ImageStore",),
    "llm.decoder": ("Sampling",),
    "overlay": ("draw_regions", "region_colour", "save_overlay"),
    "pipeline": ("EncodedImage", "Pipeline"),
    "prompt": ("Turn",),
    "proposing": ("Proposer",),
    "verification": ("Check", "verify_bundle"),
    "vision.proposals": ("Proposal",),
    "worker.client": ("WorkerImage", "WorkerPipeline"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Alternative",
    "Box",
    "Bundle",
    "BundleError",
    "Cancelled",
    "Check",
    "Choice",
    "Chosen",
    "ContextOverflowError",
    "Done",
    "EncodedImage",
    "EngineError",
    "EngineMissingError",
    "EngineSettings",
    "Event",
    "Gpt4RoiError",
    "ImageError",
    "ImageStore",
    "InputError",
    "LlamaCppSettings",
    "Manifest",
    "NumericError",
    "OutputError",
    "Pipeline",
    "Proposal",
    "Proposer",
    "QuestionError",
    "RegionAnswer",
    "RegionError",
    "Sampling",
    "SettingsError",
    "TextDelta",
    "TokenScore",
    "Turn",
    "WorkerDiedError",
    "WorkerImage",
    "WorkerPipeline",
    "default_bundle",
    "draw_regions",
    "load_image",
    "open_bundle",
    "parse_box",
    "region_colour",
    "save_overlay",
    "verify_bundle",
]


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
