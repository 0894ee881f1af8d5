"""The published weights as the beginning of a run."""

from pathlib import Path

import pytest
import torch

from gpt4roi_export.published import published_encoder, published_language
from gpt4roi_export.tuning.report import Quiet
from gpt4roi_export.tuning.start import put_in_earlier_run, starting_vision
from gpt4roi_export.tuning.tune import tune
from gpt4roi_export.weights import WeightSources
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import sha256_of
from tests.export.tuning.conftest import scene, small_vision, written

RECIPE = """
threads = 1
[[stage]]
name = "words"
data = [{path = "scenes.jsonl"}]
rates = {lora = 1e-3, projector = 1e-3}
tokens_per_step = 150
steps = 1
"""


@pytest.mark.bundle
def test_the_region_module_starts_as_the_encoders_classifier(
    weight_sources: WeightSources, language: LlamaCppDecoder
) -> None:
    vision, vocabulary = starting_vision(published_encoder(weight_sources.encoder), language)
    again, _ = starting_vision(published_encoder(weight_sources.encoder), language)
    assert all(
        torch.equal(first, second) for first, second in zip(vision.parameters(), again.parameters(), strict=True)
    )
    assert vocabulary.index["tabby cat"] < 1000 <= len(vocabulary)
    with torch.no_grad():
        levels = vision.pyramid(vision.maps(torch.randn(1, 3, 520, 520)))
        reading = vision.read(levels, torch.tensor([[0.2, 0.2, 0.8, 0.8]]))
    assert int(reading.name_logits.argmax()) < 1000
    assert vision.words.names.abs().sum() > 0.0


def test_an_encoder_without_its_arrays_is_refused(language: LlamaCppDecoder) -> None:
    with pytest.raises(BundleError):
        starting_vision({}, language)


@pytest.mark.bundle
def test_the_language_model_is_taken_out_once(weight_sources: WeightSources, tmp_path: Path) -> None:
    target = published_language(weight_sources.language, tmp_path)
    facts = target.stat()
    assert published_language(weight_sources.language, tmp_path).stat().st_mtime_ns == facts.st_mtime_ns
    right = sha256_of(target)
    target.write_bytes(b"damaged")
    assert sha256_of(published_language(weight_sources.language, tmp_path)) == right


def test_a_vision_file_of_other_sizes_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    vision, _ = small_vision()
    save_file({"reader.color.bias": torch.zeros(3)}, tmp_path / "vision.safetensors")
    with pytest.raises(BundleError, match="do not fit"):
        put_in_earlier_run(tmp_path, vision, None)
    save_file({"reader.taste": torch.zeros(3)}, tmp_path / "vision.safetensors")
    with pytest.raises(BundleError, match=r"reader\.taste"):
        put_in_earlier_run(tmp_path, vision, None)


@pytest.mark.slow
def test_a_recipe_tunes_the_embedded_model(weight_sources: WeightSources, tmp_path: Path) -> None:
    written(tmp_path / "scenes.jsonl", [scene(0), scene(1)])
    (tmp_path / "recipe.toml").write_text(RECIPE)
    assert tune(tmp_path / "recipe.toml", tmp_path / "out", weight_sources, Quiet())
    assert (tmp_path / "out" / "adapter.safetensors").stat().st_size > 1 << 20
    assert (tmp_path / "out" / "vision.safetensors").stat().st_size > 1 << 20
