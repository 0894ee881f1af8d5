"""A tiny LLaMA, the real region module at tiny widths, and scenes about cats and dogs."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from gpt4roi_export import plain_paths
from gpt4roi_export.modules.tuned import TunedVision
from gpt4roi_export.scene import COLORS, Exchange, RegionFacts, Scene
from gpt4roi_export.tuned import TunedSizes
from gpt4roi_export.tuning.imagined import Vocabulary
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.llm.decoder import Decoder
from tests.helpers.tiny_gguf import WIDTH, write_tiny_gguf

NAMES = ("cat", "dog", "horse", "cup", "plate", *(f"thing {index}" for index in range(995)))
KINDS = ("animal",) * 3 + ("dish",) * 2 + ("thing",) * 995
SIZES = TunedSizes(
    n_names=len(NAMES),
    n_colors=len(COLORS),
    n_name_rows=2,
    embedding_length=WIDTH,
    width=8,
    groups=2,
    n_fusions=1,
    feature_width=12,
    box_hidden=6,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are slowed by threads, and their numbers must not depend on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("tuning") / "tiny.gguf")


@pytest.fixture(scope="session")
def language(tiny_gguf: Path) -> Iterator[LlamaCppDecoder]:
    with closing(loaded(tiny_gguf)) as decoder:
        yield decoder


def loaded(gguf: Path) -> LlamaCppDecoder:
    settings = LlamaCppSettings(n_threads=1, context_length=1024, repack="on")
    return LlamaCppDecoder.load(gguf, inspect_gguf(gguf), settings)


def small_vision(_language: Decoder | None = None) -> tuple[TunedVision, Vocabulary]:
    """The same numbers every time; the rows' words are random instead of a language model's."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        vision = TunedVision(SIZES)
        words = vision.words
        for table in (words.names, words.sureness, words.colors, words.mixed, words.places, words.marks):
            table.normal_()
    return vision, Vocabulary.of(NAMES, KINDS)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.of(NAMES, KINDS)


def facts(name: str | None, x: float = 0.0, color: str | None = None, *, sure: bool = True) -> RegionFacts:
    return RegionFacts(box=(x, 10.0, x + 50.0, 90.0), name=name, color=color, kind="animal", sure=sure)


def scene(number: int, image: Path | None = None) -> Scene:
    """Two regions, and dialogues whose length differs from scene to scene."""
    first, second = NAMES[number % 5], NAMES[(number + 2) % 5]
    talk = (
        Exchange("What is <region1>?", f"region1 is a {first}.", "name"),
        Exchange("And <region2>, beside <region1>?", f"region2 is a {second}" + " indeed" * (number % 3), "name"),
    )
    short = (Exchange("is <region2> red", "no", "yesno"),)
    regions = (facts(first, 0.0, "red"), facts(second, 60.0, None, sure=False))
    return Scene(f"s{number}", (200, 100), regions, image, (talk, short))


def written(path: Path, scenes: list[Scene]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(one, enc_hook=plain_paths.encoded) + b"\n" for one in scenes))
    return path


def picture(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
