"""What is remembered of a measurement, when it counts, and what settings come to."""

from importlib import metadata
from pathlib import Path

import msgspec
import pytest

from gpt4roi_runtime.backends import vision_choice, vision_engines
from gpt4roi_runtime.backends.load import EngineSettings, load_encoder
from gpt4roi_runtime.backends.onnxruntime import OnnxRuntimeEncoder
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.vision_choice import (
    ChoiceStore,
    Measured,
    VisionChoice,
    chosen_engine,
    machine_identity,
)
from gpt4roi_runtime.backends.vision_settings import VisionEngine, VisionSettings
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.errors import OutputError, SettingsError
from tests.helpers.fakes import FakeEncoder
from tests.helpers.tiny_graphs import PIXELS, tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def store(tmp_path: Path) -> ChoiceStore:
    return ChoiceStore(tmp_path / "cache")


def _choice(bundle: Bundle, **changes: object) -> VisionChoice:
    measured = (
        Measured("onnxruntime", "f32", "ONNX Runtime 1", encode_s=2.0),
        Measured("openvino", "bf16", "OpenVINO 2", encode_s=1.0),
    )
    choice = VisionChoice(1, bundle.id, machine_identity(), n_threads=1, chosen=1, measured=measured)
    return msgspec.structs.replace(choice, **changes)


def test_nothing_measured_means_onnx_runtime(bundle: Bundle, store: ChoiceStore) -> None:
    assert store.read(bundle.id) is None
    assert chosen_engine(bundle, VisionSettings(), store) == VisionEngine("onnxruntime", "f32")


def test_what_was_measured_is_taken(bundle: Bundle, store: ChoiceStore) -> None:
    store.write(_choice(bundle))
    assert store.read(bundle.id) == _choice(bundle)
    assert chosen_engine(bundle, VisionSettings(), store) == VisionEngine("openvino", "bf16")


@pytest.mark.parametrize(
    ("settings", "engine"),
    [
        (VisionSettings("onnxruntime"), VisionEngine("onnxruntime", "f32")),
        (VisionSettings("auto", "f32"), VisionEngine("onnxruntime", "f32")),
        (VisionSettings("auto", "bf16"), VisionEngine("openvino", "bf16")),
        (VisionSettings("openvino"), VisionEngine("openvino", "auto")),
        (VisionSettings("openvino", "f32", "GPU"), VisionEngine("openvino", "f32", "GPU")),
    ],
)
def test_what_the_user_names_wins(
    bundle: Bundle, store: ChoiceStore, settings: VisionSettings, engine: VisionEngine
) -> None:
    store.write(_choice(bundle))
    assert chosen_engine(bundle, settings, store) == engine


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle_id": "0" * 16},
        {"machine": "another"},
        {"chosen": 2},
        {"measured": (Measured("openvino", "f32", "x", refused="off"),), "chosen": 0},
    ],
    ids=["another bundle", "another machine", "no such place", "refused"],
)
def test_a_record_that_does_not_hold_any_more_is_ignored(
    bundle: Bundle, store: ChoiceStore, changes: dict[str, object]
) -> None:
    place = store.write(_choice(bundle))
    place.write_bytes(msgspec.json.encode(_choice(bundle, **changes)))
    assert store.read(bundle.id) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b"[" * 10_000, b'{"version": 2}', b" " * 100_000])
def test_a_damaged_record_is_ignored(bundle: Bundle, store: ChoiceStore, content: bytes) -> None:
    place = store.write(_choice(bundle))
    place.write_bytes(content)
    assert chosen_engine(bundle, VisionSettings(), store) == VisionEngine("onnxruntime", "f32")


def test_another_version_of_an_engine_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine_identity()
    really = metadata.version
    monkeypatch.setattr(vision_choice.metadata, "version", lambda name: "1.2.3" if name == "openvino" else really(name))
    assert machine_identity() != before


def test_a_record_that_cannot_be_written_is_ours(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        ChoiceStore(tmp_path / "file").write(_choice(bundle))


@pytest.mark.parametrize(
    ("backend", "precision", "device", "words"),
    [("onnxruntime", "bf16", "CPU", "bfloat16"), ("auto", "auto", "GPU", "openvino")],
)
def test_settings_that_do_not_go_together_are_refused(backend: str, precision: str, device: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        VisionSettings(backend, precision, device)  # type: ignore[arg-type]


def test_without_a_word_the_bundle_is_loaded_by_onnx_runtime(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision_choice.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    encoder = load_encoder(bundle, EngineSettings(vision_threads=1))
    assert isinstance(encoder, OnnxRuntimeEncoder)
    assert encoder.encode(PIXELS).image_embeddings.shape == (2, 5)


def test_the_settings_reach_openvino(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[OpenVinoSettings] = []

    def load(_: Bundle, settings: OpenVinoSettings) -> FakeEncoder:
        given.append(settings)
        return FakeEncoder()

    monkeypatch.setattr(vision_engines, "OpenVinoEncoder", load)
    load_encoder(bundle, EngineSettings(vision_threads=3, vision=VisionSettings("openvino", "bf16", "GPU")))
    assert given == [OpenVinoSettings("bf16", 3, "GPU")]
