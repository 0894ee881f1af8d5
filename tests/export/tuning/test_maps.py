from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gpt4roi_export.tuning import maps as module
from gpt4roi_export.tuning.maps import MapsCache, PictureMaps, state_id
from gpt4roi_runtime.errors import OutputError
from tests.export.tuning.conftest import picture

CPU = torch.device("cpu")
SIDE_PX = 8
Levels = tuple[Tensor, ...]


class Trunk:
    """Three maps that a test can follow; counts how often it is asked."""

    def __init__(self) -> None:
        self.n_pictures = 0

    def __call__(self, pixels: Tensor) -> Levels:
        self.n_pictures += len(pixels)
        return (pixels, pixels[:, :1, ::2, ::2], pixels.mean(dim=(2, 3), keepdim=True) * 1e9)


def cache(folder: Path, trunk: Callable[[Tensor], Levels], trunk_id: str = "first") -> MapsCache:
    return MapsCache(folder / "cache", trunk, trunk_id, SIDE_PX, CPU)


def pictures(folder: Path, n: int) -> list[Path]:
    return [picture(folder / f"{index}.png", index) for index in range(n)]


def test_maps_come_back_as_the_trunk_made_them(tmp_path: Path) -> None:
    trunk = Trunk()
    maps = cache(tmp_path, trunk)
    found = maps.of_pictures(pictures(tmp_path, 3))
    of_stage = PictureMaps(maps.shapes)
    for scene, index in ((7, 0), (9, 2)):
        of_stage.add(scene, found, index)
    finest, middle, coarsest = of_stage.of([9, 7], CPU)
    assert [tuple(level.shape) for level in (finest, middle, coarsest)] == [(2, 3, 8, 8), (2, 1, 4, 4), (2, 3, 1, 1)]
    torch.testing.assert_close(middle, finest[:, :1, ::2, ::2])
    assert float(coarsest.abs().max()) == np.finfo(np.float16).max  # too large for half floats, but finite
    assert not torch.equal(finest[0], finest[1])
    assert found.broken == {}


def test_maps_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURES_PER_FILE", 2)
    trunk, files = Trunk(), pictures(tmp_path, 5)
    first = cache(tmp_path, trunk).of_pictures(files)
    assert trunk.n_pictures == 1 + 5
    again = cache(tmp_path, trunk).of_pictures(files)
    assert trunk.n_pictures == 1 + 5 + 1
    for index in range(5):
        np.testing.assert_array_equal(first[index], again[index])
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_another_picture_or_trunk_is_computed_anew(tmp_path: Path) -> None:
    trunk, files = Trunk(), pictures(tmp_path, 1)
    before = np.array(cache(tmp_path, trunk).of_pictures(files)[0])
    picture(files[0], seed=99).touch()
    assert not np.array_equal(cache(tmp_path, trunk).of_pictures(files)[0], before)
    n_before = trunk.n_pictures
    cache(tmp_path, trunk, "second").of_pictures(files)
    assert trunk.n_pictures == n_before + 2


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_broken_picture_is_said_and_the_others_are_kept(tmp_path: Path, content: bytes) -> None:
    files = pictures(tmp_path, 3)
    files[1].write_bytes(content)
    found = cache(tmp_path, Trunk()).of_pictures(files)
    assert list(found.broken) == [1]
    assert "1.png" in found.broken[1]
    assert np.isfinite(found[2]).all()


def test_a_damaged_file_of_maps_is_made_again(tmp_path: Path) -> None:
    trunk, files = Trunk(), pictures(tmp_path, 2)
    right = np.array(cache(tmp_path, trunk).of_pictures(files)[1])
    (kept,) = (tmp_path / "cache").iterdir()
    for damage in (b"", kept.read_bytes()[:-10], b"\x80\x04K\x01."):
        kept.write_bytes(damage)
        np.testing.assert_array_equal(cache(tmp_path, trunk).of_pictures(files)[1], right)


def test_a_folder_that_cannot_be_made_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(OutputError, match="cannot keep maps"):
        cache(tmp_path, Trunk()).of_pictures(pictures(tmp_path, 1))


def test_the_trunks_name_changes_with_its_weights() -> None:
    layer = torch.nn.Linear(2, 2)
    before = state_id(layer)
    assert state_id(layer) == before
    with torch.no_grad():
        layer.bias += 1.0
    assert state_id(layer) != before
