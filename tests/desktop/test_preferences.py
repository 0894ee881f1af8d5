"""What a user chose, in its file."""

from pathlib import Path

import msgspec
import pytest

from gpt4roi_desktop import preferences
from gpt4roi_desktop.places import Places
from gpt4roi_desktop.preferences import Preferences
from gpt4roi_runtime.errors import OutputError, SettingsError

CHOSEN = Preferences(theme="dark", n_threads=2, context_length=1024, temperature=0.5, max_tokens=99, seed=7, camera=1)
ENGINES = Preferences(vision_backend="openvino", vision_precision="bf16", keep_images=True, store="/a", store_mb=7)


def test_they_come_back(tmp_path: Path) -> None:
    places = Places(tmp_path / "new")
    places.keep_preferences(CHOSEN.with_model(tmp_path))
    assert preferences.load(places.preferences) == CHOSEN.with_model(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"theme": "pink"}', b'{"n_threads": 0}', b'{"temperature": 1e400}', b"\xff"]
)
def test_what_cannot_be_read_is_nothing_chosen(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    assert preferences.load(tmp_path / "p.json") == Preferences()
    assert preferences.load(tmp_path / "none.json") == Preferences()


def test_engines_and_keys_come_back(tmp_path: Path) -> None:
    chosen = msgspec.structs.replace(ENGINES, shortcuts={"copy": ("Ctrl+J",), "quit": ()})
    Places(tmp_path).keep_preferences(chosen)
    assert preferences.load(Places(tmp_path).preferences) == chosen


def test_an_engine_that_cannot_compute_so_is_refused() -> None:
    with pytest.raises(SettingsError, match="bfloat16"):
        Preferences(vision_backend="onnxruntime", vision_precision="bf16")


def test_the_last_model_comes_first_and_only_once() -> None:
    chosen = Preferences().with_model(Path("a")).with_model(Path("b")).with_model(Path("a"))
    assert (chosen.model, chosen.models) == ("a", ("a", "b"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        Places(tmp_path / "file").keep_preferences(CHOSEN)


def test_engines_are_loaded_anew_for_theirs_only() -> None:
    assert Preferences(theme="dark", seed=3).engines() == Preferences().engines()
    assert Preferences(store="/a", store_mb=1, shortcuts={"copy": ()}).engines() == Preferences().engines()
    for other in (
        Preferences(n_threads=1),
        Preferences(vision_backend="openvino"),
        Preferences(vision_precision="f32"),
        Preferences(keep_images=True),
    ):
        assert other.engines() != Preferences().engines()
    kept = Preferences(keep_images=True)
    assert msgspec.structs.replace(kept, store="/a").engines() != kept.engines()
    assert msgspec.structs.replace(kept, store_mb=1).engines() != kept.engines()
