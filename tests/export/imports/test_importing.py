"""The whole import on a tiny checkpoint: what comes out is what went in, whatever happens on the way."""

import shutil
from collections import namedtuple
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from gpt4roi_export.certificate.certify import prompt_rows
from gpt4roi_export.certificate.language_reference import next_token_logits
from gpt4roi_export.certificate.samples import BOXES, PHOTO
from gpt4roi_export.imports import importing
from gpt4roi_export.imports.importing import ImportSettings, import_release, vision_model
from gpt4roi_export.imports.sources import Folders, Sources, open_sources
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders
from gpt4roi_export.vision_graphs.streamed import reference_stages
from gpt4roi_export.vision_graphs.write import Precision, write_graphs
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.errors import NumericError, OutputError, SettingsError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.llm.decoder import Sampling
from gpt4roi_runtime.verification import verify_bundle
from gpt4roi_runtime.vision.preprocess import preprocess
from tests.export.imports.conftest import silent

HALF = ImportSettings(language="F16")
N_TOKENS = 12


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_bundle_is_right_in_every_check(half_bundle: Path) -> None:
    checks = list(verify_bundle(half_bundle))
    assert [check.what for check in checks if check.error] == []
    assert {path.name for path in half_bundle.iterdir()} == {
        "manifest.json",
        *("encode.onnx", "encode.weights", "regions.onnx", "regions.weights", "llm.gguf"),
    }


def test_the_manifest_says_what_went_in(half_bundle: Path, split: SynthesizedFolders) -> None:
    made = open_bundle(half_bundle).manifest.provenance
    assert made is not None
    assert {entry.part for entry in made.inputs} == {"base", "delta", "clip"}
    names = {(entry.part, entry.name) for entry in made.inputs}
    assert ("base", "pytorch_model.bin") in names
    assert ("delta", "config.json") in names
    assert made.settings == {"language": "F16", "vision": "fp32"}
    assert str(split.clip) not in (half_bundle / "manifest.json").read_text()


def test_the_same_tokens_as_torch_from_photo_to_answer(half_bundle: Path, sources: Sources) -> None:
    """Greedy, N tokens, every stage of the reference in torch and none of the bundle's."""
    bundle = open_bundle(half_bundle)
    model = vision_model(sources)
    pixels = preprocess(load_image(PHOTO), model.preprocessing)
    stages = reference_stages(model.sizes, model.clip, model.release, pixels, BOXES)
    gguf = bundle.path_of(bundle.manifest.language.gguf)
    table = sources.gpt4roi.tensors.read("model.embed_tokens.weight").astype(np.float32)
    with closing(LlamaCppDecoder.load(gguf, inspect_gguf(gguf))) as decoder:
        rows = prompt_rows(bundle, decoder, stages)
        assert len(rows) > 256
        decoder.prefill(rows, lambda: False)
        ours = [step.token for step in decoder.decode(Sampling(), N_TOKENS, lambda: False)]
    theirs: list[int] = []
    for _ in range(N_TOKENS):
        theirs.append(int(next_token_logits(sources.gpt4roi.tensors, sources.gpt4roi.sizes, rows).argmax()))
        rows = np.concatenate([rows, table[theirs[-1:]]])
    assert ours == theirs
    assert len(set(theirs)) > 1


def test_merged_or_split_and_whatever_the_format_the_model_is_the_same(
    half_bundle: Path, merged: SynthesizedFolders, tmp_path: Path
) -> None:
    whole = open_sources(Folders(clip=merged.clip, checkpoint=merged.gpt4roi))
    import_release(whole, HALF, tmp_path / "bundle", silent)
    ours, theirs = contents(tmp_path / "bundle"), contents(half_bundle)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == ["manifest.json"]


def test_again_gives_the_same_bytes(sources: Sources, half_bundle: Path, tmp_path: Path) -> None:
    import_release(sources, HALF, tmp_path / "bundle", silent)
    assert contents(tmp_path / "bundle") == contents(half_bundle)


@pytest.mark.parametrize("step", ["write_vision", "check_vision", "write_half", "quantise"])
def test_killed_at_any_step_it_goes_on(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out, settings = tmp_path / "bundle", ImportSettings(language="Q8_0")
    real = getattr(importing._Steps, step)

    def killed(steps: object, *arguments: object) -> None:
        real(steps, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing._Steps, step, killed)
        with pytest.raises(KeyboardInterrupt):
            import_release(sources, settings, out, silent)
    assert not out.exists()
    made = import_release(sources, settings, out, silent)
    assert made.went_on
    assert (made.parity is None) == (step in ("write_half", "quantise"))
    assert [check.what for check in verify_bundle(out) if check.error] == []
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_other_settings_begin_anew(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "bundle"
    with monkeypatch.context() as patch:
        patch.setattr(importing._Steps, "check_vision", lambda _steps: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            import_release(sources, HALF, out, silent)
    made = import_release(sources, replace(HALF, vision="int8"), out, silent)
    assert not made.went_on
    assert made.parity is not None


@pytest.mark.parametrize(("vision", "cosine"), [("fp16", 0.999), ("int8", 0.99)])
def test_smaller_graphs_are_near_enough(sources: Sources, tmp_path: Path, vision: Precision, cosine: float) -> None:
    settings = replace(HALF, vision=vision)
    made = import_release(sources, settings, tmp_path / "bundle", silent)
    assert made.parity is not None
    (region,) = (stage for stage in made.parity.stages if stage.stage == "region_embeddings")
    assert cosine <= region.cosine < 1.0
    assert [check.what for check in verify_bundle(made.out) if check.error] == []


def test_graphs_that_are_off_are_refused_unless_forced(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix is read wrongly while the graphs are written, and rightly for the reference."""
    real_write = write_graphs
    name = "model.spi_module.roi_align.updims.weight"

    class Wrong:
        facts = sources.gpt4roi.tensors.facts

        def read(self, asked: str) -> np.ndarray:
            array: np.ndarray = sources.gpt4roi.tensors.read(asked)
            return array[::-1].copy() if asked == name else array

    def write(sizes: object, clip: object, _release: object, *others: object) -> object:
        return real_write(sizes, clip, Wrong(), *others)  # type: ignore[arg-type]

    monkeypatch.setattr(importing, "write_graphs", write)
    with pytest.raises(NumericError, match="region_embeddings"):
        import_release(sources, HALF, tmp_path / "bundle", silent)
    assert not (tmp_path / "bundle").exists()
    forced = import_release(sources, replace(HALF, forced=True), tmp_path / "bundle", silent)
    assert forced.parity is not None
    assert [stage.stage for stage in forced.parity.off] == ["region_embeddings"]
    made = open_bundle(forced.out).manifest.provenance
    assert made is not None
    assert made.settings["forced"] == "yes"


def test_a_full_disk_is_told_before_anything_is_written(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as the standard library gives it
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 10**6))
    with pytest.raises(OutputError, match=r"needs 0\.0 GB .* has 0\.0 GB left"):
        import_release(sources, HALF, tmp_path / "bundle", silent)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_told(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(OutputError, match="already there"):
        import_release(sources, HALF, tmp_path, silent, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_an_unknown_quantisation_is_told(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Q4_X"):
        import_release(sources, ImportSettings(language="Q4_X"), tmp_path / "bundle", silent)
    assert list(tmp_path.iterdir()) == []


def test_progress_only_rises(sources: Sources, tmp_path: Path) -> None:
    shares: list[float] = []
    import_release(sources, HALF, tmp_path / "bundle", lambda _doing, done: shares.append(done))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert psutil.Process().num_fds() < 200
