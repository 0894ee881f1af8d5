"""The same promises as ONNX Runtime's, and what is OpenVINO's own: precision, devices, compiled graphs on disk."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest

from gpt4roi_runtime.backends.load import EngineSettings, load_detector
from gpt4roi_runtime.backends.onnxruntime import OnnxRuntimeEncoder
from gpt4roi_runtime.backends.openvino import OpenVinoEncoder
from gpt4roi_runtime.backends.openvino_library import computes_bf16, import_openvino
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.vision_settings import VisionSettings
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.errors import BundleError, EngineError, EngineMissingError, SettingsError
from gpt4roi_runtime.image import load_image
from gpt4roi_runtime.vision.encoder import Encoder
from gpt4roi_runtime.vision.preprocess import preprocess
from tests.helpers.bundles import entry, write_fake_bundle
from tests.helpers.child import run_child
from tests.helpers.detectors import one_bin, write_detector_bundle
from tests.helpers.tiny_graphs import (
    LEVELS,
    OWN,
    PIXELS,
    WEIGHTS,
    Model,
    encode_model,
    hidden_in_a_node,
    n_boxes,
    regions_model,
    tiny_bundle,
    with_weights_at,
)

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'gpt4roi-edge[openvino]'")


def _settings(cache: Path, **changes: Any) -> OpenVinoSettings:
    return OpenVinoSettings(**{"precision": "f32", "n_threads": 1, "cache_folder": cache, **changes})


@pytest.fixture
def load(tmp_path: Path) -> Callable[[Bundle], OpenVinoEncoder]:
    """Load a bundle in float32, with a cache of the test's own."""
    return lambda bundle: OpenVinoEncoder(bundle, _settings(tmp_path / "cache"))


@pytest.fixture
def encoder(tmp_path: Path, load: Callable[[Bundle], OpenVinoEncoder]) -> Iterator[OpenVinoEncoder]:
    encoder = load(tiny_bundle(tmp_path / "bundle"))
    yield encoder
    encoder.close()


Load = Callable[[Bundle], OpenVinoEncoder]


# --- what it computes -------------------------------------------------------------------------------------------------


def test_it_keeps_the_promise_of_an_encoder(encoder: OpenVinoEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.engine.startswith("OpenVINO 20")
    assert encoder.engine.endswith("(CPU, f32)")


# --- contracts --------------------------------------------------------------------------------------------------------


# --- weights in other files -------------------------------------------------------------------------------------------


class _AnyGraphLoads(ModuleType):
    """An OpenVINO that would read whatever it is shown."""

    class Core(SimpleNamespace):
        available_devices = ("CPU",)

    class frontend(SimpleNamespace):  # noqa: N801 - the module's own name
        @staticmethod
        def FrontEndManager() -> NoReturn:  # noqa: N802
            pytest.fail("a graph was shown to the engine")

    @staticmethod
    def get_version() -> str:
        return "2020.1"


@pytest.mark.parametrize("where", ["above", "absolute", "link", "unlisted"])
@pytest.mark.parametrize("hide", [with_weights_at, hidden_in_a_node], ids=["weights", "constant"])
def test_weights_outside_the_manifest_are_never_read(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch, where: str, hide: Callable[[str], Model]
) -> None:
    (tmp_path / "bundle").mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(OWN)
    (tmp_path / "bundle" / "link.bin").symlink_to(secret)
    (tmp_path / "bundle" / "unlisted.bin").write_bytes(OWN)
    location = {
        "above": "../secret.bin",
        "absolute": str(secret),
        "link": "link.bin",
        "unlisted": "unlisted.bin",
    }[where]
    bundle = tiny_bundle(tmp_path / "bundle", encode=hide(location))
    monkeypatch.setitem(sys.modules, "openvino", _AnyGraphLoads("openvino"))
    monkeypatch.setitem(sys.modules, "openvino.frontend", ModuleType("openvino.frontend"))
    with pytest.raises(BundleError, match="the manifest does not name"):
        load(bundle)


def test_another_format_by_another_ending_is_not_loaded(tmp_path: Path, load: Load) -> None:
    """An ending of its own would make OpenVINO choose another reader than the one whose format we look through."""
    files = {
        "encode.onnx": encode_model().SerializeToString(),
        "regions.onnx": regions_model().SerializeToString(),
    }
    write_fake_bundle(tmp_path, files=files, vision__encode=entry("encode.xml", files["encode.onnx"]))
    (tmp_path / "encode.onnx").rename(tmp_path / "encode.xml")
    encoder = load(open_bundle(tmp_path))
    assert encoder.encode(PIXELS).image_embeddings.shape == (2, 5)


# --- while it runs ----------------------------------------------------------------------------------------------------


def test_wrong_shapes_and_a_missing_level_are_refused(encoder: OpenVinoEncoder) -> None:
    with pytest.raises(EngineError, match="pyramid_1"):
        encoder.embed_regions(LEVELS[:1], n_boxes(1))
    with pytest.raises(EngineError, match="pixels"):
        encoder.encode(np.zeros((1, 3, 4, 4), dtype=np.float32))
    with pytest.raises(EngineError, match="boxes"):
        encoder.embed_regions(LEVELS, n_boxes(1)[:0])


def test_a_failure_of_the_engine_is_ours_in_its_last_words(
    encoder: OpenVinoEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> NoReturn:
        raise RuntimeError(
            "Exception from src/infer_request.cpp:224:\nCheck 'x' failed at y.cpp:1:\nno more memory\n\n"
        )

    monkeypatch.setattr(encoder._encode, "_request", SimpleNamespace(infer=fail))
    with pytest.raises(EngineError, match=r"^OpenVINO failed: no more memory"):
        encoder.encode(PIXELS)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"n_threads": -1}, {"n_threads": 513}, {"device": "TPU"}])
def test_settings_out_of_range_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(changes))):
        _settings(tmp_path, **changes)


def test_no_thread_count_takes_the_physical_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4roi_runtime.backends.openvino_settings.usable_cores", lambda: 7)
    assert OpenVinoSettings().threads() == 7
    assert OpenVinoSettings(n_threads=3).threads() == 3


def test_a_device_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"'NPU\.7'") as refused:
        OpenVinoEncoder(tiny_bundle(tmp_path), _settings(tmp_path / "cache", device="NPU.7"))
    assert "CPU" in refused.value.advice


@pytest.mark.parametrize(("has_it", "named"), [(True, "bf16"), (False, "f32")])
def test_bfloat16_only_where_the_processor_multiplies_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_it: bool, named: str
) -> None:
    monkeypatch.setattr("gpt4roi_runtime.backends.openvino_graph.computes_bf16", lambda *_: has_it)
    bundle = tiny_bundle(tmp_path)
    encoder = OpenVinoEncoder(bundle, _settings(tmp_path / "cache", precision="auto"))
    assert encoder.engine.endswith(f"(CPU, {named})")
    if not has_it:
        with pytest.raises(EngineError, match="bfloat16"):
            OpenVinoEncoder(bundle, _settings(tmp_path / "cache", precision="bf16"))


def test_boxes_are_never_rounded_to_bfloat16(tmp_path: Path) -> None:
    settings = _settings(tmp_path, precision="bf16")
    assert settings.for_coordinates() == _settings(tmp_path, precision="f32")
    if not computes_bf16(import_openvino().Core()):
        pytest.skip("this processor has no bfloat16 of its own")
    encoder = OpenVinoEncoder(tiny_bundle(tmp_path / "bundle"), settings)
    boxes = n_boxes(2) + np.float32(2**-12)
    np.testing.assert_allclose(encoder.embed_regions(LEVELS, boxes)[:, 0], boxes @ WEIGHTS + 5, rtol=1e-6)


# --- compiled graphs on disk ------------------------------------------------------------------------------------------


def _kept(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.blob"))


def test_a_second_start_reads_what_the_first_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, cache = tiny_bundle(tmp_path / "bundle"), tmp_path / "cache"
    first = OpenVinoEncoder(bundle, _settings(cache)).encode(PIXELS)
    kept = _kept(cache)
    assert len(kept) == 2
    stamps = [path.stat().st_mtime_ns for path in kept]
    monkeypatch.setattr(
        "gpt4roi_runtime.backends.openvino_cache.CompiledCache.aside", lambda *_: pytest.fail("compiled again")
    )
    second = OpenVinoEncoder(bundle, _settings(cache)).encode(PIXELS)
    np.testing.assert_array_equal(first.image_embeddings, second.image_embeddings)
    assert [path.stat().st_mtime_ns for path in kept] == stamps


def test_other_settings_are_other_compiled_graphs(tmp_path: Path) -> None:
    bundle, cache = tiny_bundle(tmp_path / "bundle"), tmp_path / "cache"
    for n_threads in (1, 2):
        OpenVinoEncoder(bundle, _settings(cache, n_threads=n_threads))
    assert len(_kept(cache)) == 4


@pytest.mark.parametrize(
    "harm", ["one bit", "cut off", "no seal", "seal of another", "seal is no JSON", "one more file"]
)
def test_a_damaged_compiled_graph_is_compiled_again(tmp_path: Path, harm: str) -> None:
    bundle, cache = tiny_bundle(tmp_path / "bundle"), tmp_path / "cache"
    OpenVinoEncoder(bundle, _settings(cache))
    for blob in _kept(cache):
        content, seal = blob.read_bytes(), blob.with_name("sealed.json")
        match harm:
            case "one bit":
                blob.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
            case "cut off":
                blob.write_bytes(content[: len(content) // 2])
            case "no seal":
                seal.unlink()
            case "seal of another":
                seal.write_text('{"other.blob": "00"}')
            case "seal is no JSON":
                seal.write_bytes(b"\xff\x00")
            case "one more file":
                blob.with_name("another.blob").write_bytes(content)
    encoder = OpenVinoEncoder(bundle, _settings(cache))
    np.testing.assert_allclose(encoder.encode(PIXELS).image_embeddings, PIXELS.mean() * WEIGHTS[:2], atol=1e-5)
    assert len(_kept(cache)) == 2
    assert all(blob.with_name("sealed.json").is_file() for blob in _kept(cache))


def test_a_sealed_file_that_the_engine_cannot_read_is_compiled_again(tmp_path: Path) -> None:
    from gpt4roi_runtime.backends.openvino_cache import _SEAL
    from gpt4roi_runtime.storage import sha256_of

    bundle, cache = tiny_bundle(tmp_path / "bundle"), tmp_path / "cache"
    OpenVinoEncoder(bundle, _settings(cache))
    for blob in _kept(cache):
        blob.write_bytes(blob.read_bytes()[:40])
        blob.with_name(_SEAL).write_text(f'{{"{blob.name}": "{sha256_of(blob)}"}}')
    encoder = OpenVinoEncoder(bundle, _settings(cache))
    np.testing.assert_allclose(encoder.encode(PIXELS).image_embeddings, PIXELS.mean() * WEIGHTS[:2], atol=1e-5)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    encoder = OpenVinoEncoder(tiny_bundle(tmp_path / "bundle"), _settings(tmp_path / "cache"))
    assert encoder.encode(PIXELS).image_embeddings.shape == (2, 5)


# --- the engine itself ------------------------------------------------------------------------------------------------


def test_a_missing_engine_names_the_pip_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load: Load) -> None:
    bundle = tiny_bundle(tmp_path)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineMissingError, match="cannot be imported") as missing:
        load(bundle)
    assert missing.value.advice == "pip install 'gpt4roi-edge[openvino]'"


def test_nothing_that_reports_to_anybody_is_imported() -> None:
    """The converter would send a message when it is imported, where the package that sends is installed."""
    script = (
        "import sys\n"
        "from gpt4roi_runtime.backends.openvino_library import import_openvino\n"
        "import_openvino().Core()\n"
        "print([name for name in sys.modules if 'telemetry' in name or name.startswith('openvino.tools.ovc')])"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert child.stdout.strip() == "[]", child.stderr


# --- a detector -------------------------------------------------------------------------------------------------------


def test_it_runs_a_detector_where_it_is_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt4roi_runtime.backends.openvino_cache.platformdirs.user_cache_path", lambda _: tmp_path)
    bundle = open_bundle(write_detector_bundle(tmp_path / "bundle"))
    detector = load_detector(bundle, EngineSettings(vision_threads=1, vision=VisionSettings("openvino")))
    assert detector.engine.startswith("OpenVINO")
    outputs = detector.detect(np.zeros((1, 3, 32, 32), dtype=np.float32))
    assert np.argwhere(outputs.scores).tolist() == [[5, 0]]
    np.testing.assert_array_equal(outputs.distances, one_bin())
    detector.close()


# --- the embedded bundle ----------------------------------------------------------------------------------------------


@pytest.mark.bundle
def test_the_embedded_model_is_the_same_in_both_engines(bundle_dir: Path, sample_photo: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_dir)
    pixels = preprocess(load_image(sample_photo), bundle.manifest.vision.preprocessing)
    boxes = np.array([[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.51, 0.52]], dtype=np.float32)
    reference = OnnxRuntimeEncoder(bundle, n_threads=1)
    seen = reference.encode(pixels)
    embedded = reference.embed_regions(seen.pyramid, boxes)
    reference.close()
    candidate = OpenVinoEncoder(bundle, _settings(tmp_path))
    found = candidate.encode(pixels)
    for ours, theirs in zip(
        (found.image_embeddings, *found.pyramid), (seen.image_embeddings, *seen.pyramid), strict=True
    ):
        assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)
    for n in (1, len(boxes)):
        again = candidate.embed_regions(seen.pyramid, boxes[:n])
        assert np.linalg.norm(again - embedded[:n]) <= 1e-4 * np.linalg.norm(embedded[:n])
    most = candidate.embed_regions(seen.pyramid, np.repeat(boxes[:1], bundle.manifest.vision.max_regions, axis=0))
    assert len(most) == bundle.manifest.vision.max_regions
    candidate.close()


_INTERRUPTED = """
import gc, signal, sys
from pathlib import Path
from gpt4roi_runtime.backends.openvino import OpenVinoEncoder
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.bundle.folder import open_bundle

folder, cache = map(Path, sys.argv[1:])
encoder = OpenVinoEncoder(open_bundle(folder), OpenVinoSettings(precision="f32", n_threads=1, cache_folder=cache))
encoder.close()
del encoder
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_it_was_freed_is_an_interrupt(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "bundle")
    child = run_child(_INTERRUPTED, str(tmp_path / "bundle"), str(tmp_path / "cache"))
    assert (child.returncode, child.stdout.strip()) == (0, "interrupted"), child.stderr
