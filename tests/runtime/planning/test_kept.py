"""What kept images are said to take, against the bytes that the runtime keeps and stores."""

from pathlib import Path

import numpy as np
import pytest

from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.backends.llama_cpp_memory import DEFAULT_KEPT_BYTES
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.backends.load import EngineSettings
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.image_store import DEFAULT_BUDGET_BYTES, ImageStore
from gpt4roi_runtime.pipeline import Pipeline
from gpt4roi_runtime.planning.demand import BundleFacts, Usage, read_bundle_facts
from gpt4roi_runtime.planning.devices import find_device
from gpt4roi_runtime.planning.kept import kept_images, most_prefix_rows
from gpt4roi_runtime.planning.verdict import plan
from gpt4roi_runtime.worker.kept_images import n_bytes

MIB = 1 << 20


def test_a_photo_of_gpt4roi(facts: BundleFacts) -> None:
    features, prefixes, stored = kept_images(facts, Usage(2048))
    pyramid = 1024 * (128**2 + 64**2 + 32**2 + 16**2) * 4
    assert features.image_bytes == pyramid + 256 * 4096 * 4
    assert (features.place, prefixes.place, stored.place) == ("memory", "memory", "disk")
    assert features.n_images == 256 * MIB // features.image_bytes == 2
    n_rows = most_prefix_rows(facts)
    assert n_rows > 256
    assert prefixes.image_bytes == n_rows * 32 * 32 * 2 * 128 * 2
    assert prefixes.budget_bytes == DEFAULT_KEPT_BYTES
    assert stored.image_bytes == features.image_bytes + prefixes.image_bytes
    assert stored.most_bytes == stored.n_images * stored.image_bytes <= DEFAULT_BUDGET_BYTES
    half = kept_images(facts, Usage(2048, kv_type="q8_0"))[1]
    assert half.image_bytes == prefixes.image_bytes * 34 // 64


def test_where_kept_images_would_not_fit_a_note_says_so(facts: BundleFacts) -> None:
    roomy = plan(facts, find_device("cpu:64gb"), Usage(2048))
    assert not any("Kept images" in note for note in roomy.notes)
    needed = roomy.pools[0].needed_bytes
    gib = (needed + roomy.device.reserve_bytes) / (1 - 1 / 40) / 2**30
    tight = plan(facts, find_device(f"cpu:{gib + 0.1:.2f}gb"), Usage(2048))
    assert tight.fits
    assert tight.pools[0].needed_bytes == needed
    (note,) = (note for note in tight.notes if "Kept images" in note)
    assert f"{sum(one.most_bytes for one in tight.kept[:2]) // MIB} MiB" in note


@pytest.mark.bundle
def test_the_embedded_bundle_keeps_and_stores_what_is_said(
    bundle_dir: Path, sample_photo: Path, tmp_path: Path
) -> None:
    facts = read_bundle_facts(open_bundle(bundle_dir))
    features, prefixes, stored = kept_images(facts, Usage(512))
    store = ImageStore(tmp_path / "store")
    settings = EngineSettings(vision_threads=1, language=LlamaCppSettings(n_threads=1, context_length=512))
    photo = load_image(sample_photo)
    with Pipeline.open(bundle_dir, settings, store) as pipeline:
        image = pipeline.encode(photo)
        assert n_bytes(image) == features.image_bytes
        n_rows = pipeline.prepare(image).n_computed
        n_files, on_disk = store.usage()
        other = pipeline.encode(np.ascontiguousarray(photo[:, ::-1]))
        pipeline.prepare(other)
        assert isinstance(pipeline.decoder, LlamaCppDecoder)
        aside = pipeline.decoder._native.model.cache.aside.n_bytes
    a_row = prefixes.image_bytes / most_prefix_rows(facts)
    assert n_rows <= most_prefix_rows(facts) <= 2 * n_rows
    assert n_rows * a_row == pytest.approx(aside, rel=0.01)
    assert n_files == 2
    assert on_disk == pytest.approx(features.image_bytes + n_rows * a_row, rel=0.01)
    assert on_disk <= stored.image_bytes * 1.01
