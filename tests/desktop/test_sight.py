"""What the model sees, from pixels and a manifest."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_desktop.looking import Looking
from gpt4roi_desktop.session import Photo
from gpt4roi_desktop.sight import Grid, grid_of, look
from gpt4roi_runtime.bundle.manifest import Manifest
from gpt4roi_runtime.geometry import Box
from tests.desktop.fakes import AtOnce
from tests.helpers import bundles

BY_SHORT_SIDE = {
    "vision__preprocessing__resize": {"to": "shortest_edge", "side_px": 224, "filter": "bicubic"},
    "vision__preprocessing__stretch": {"to": "stretch", "side_px": 224, "filter": "bilinear"},
}
PHOTO = Photo(Path("photo.png"), "0" * 64, 200, 100)


def colours(width_px: int = 200, height_px: int = 100) -> np.ndarray:
    """Red grows to the right, green downward."""
    across, down = np.meshgrid(np.linspace(0, 255, width_px), np.linspace(0, 255, height_px))
    return np.stack([across, down, np.full_like(across, 40)], axis=2).round().astype(np.uint8)


def manifest() -> Manifest:
    return bundles.manifest()


def test_the_input_is_the_photo_stretched() -> None:
    seen = look(PHOTO, colours(), manifest())
    side = manifest().vision.preprocessing.side_px
    assert seen.pixels.shape == (side, side, 3)
    assert seen.pixels[:, 0, 0].max() < 32  # red is at the right
    assert seen.pixels[:, -1, 0].min() > 223
    assert seen.pixels[0, :, 1].max() < 32  # green is below
    assert seen.pixels[-1, :, 1].min() > 223
    assert abs(int(seen.pixels[side // 2, side // 2, 2]) - 40) <= 1


def test_the_grid_is_the_coarsest_level() -> None:
    grid = grid_of(manifest())
    assert grid == Grid(manifest().vision.preprocessing.side_px, min(one.side for one in manifest().vision.pyramid))


@pytest.mark.parametrize(
    ("box", "small"),
    [(Box(0, 0, 20, 10), False), (Box(0, 0, 19, 50), True), (Box(0, 0, 50, 9), True), (Box(0, 0, 200, 100), False)],
)
def test_a_box_thinner_than_a_cell_is_too_small(box: Box, small: bool) -> None:
    grid = Grid(100, 10)  # a cell is 20 x 10 pixels of this photo
    assert grid.is_too_small(box, PHOTO) is small


def test_cells_of_a_box() -> None:
    assert Grid(100, 10).cells_of(Box(20, 20, 60, 30), PHOTO) == (2.0, 1.0)


class TestLooking:
    def looking(self, folder: Path, threads: AtOnce | None = None) -> tuple[Looking, list[str]]:
        heard: list[str] = []
        bundles.write_manifest(folder, bundles.manifest_tree())
        return Looking(threads or AtOnce(), lambda: heard.append("changed")), heard

    def test_nothing_is_computed_while_nobody_looks(self, tmp_path: Path) -> None:
        looking, heard = self.looking(tmp_path)
        looking.open_bundle(tmp_path)
        looking.open_photo(PHOTO, colours())
        assert looking.grid == grid_of(manifest())
        assert looking.sight is None
        heard.clear()
        looking.watch(watched=True)
        assert looking.sight is not None
        assert heard == ["changed"]
        looking.watch(watched=True)
        assert heard == ["changed"]

    def test_another_photo_is_looked_at_anew(self, tmp_path: Path) -> None:
        looking, _ = self.looking(tmp_path)
        looking.watch(watched=True)
        looking.open_bundle(tmp_path)
        looking.open_photo(PHOTO, colours())
        first = looking.sight
        looking.open_photo(Photo(Path("other.png"), "1" * 64, 50, 50), colours(50, 50))
        assert first is not None
        assert looking.sight is not None
        assert looking.sight.photo.width_px == 50

    def test_a_folder_without_a_bundle_shows_nothing(self, tmp_path: Path) -> None:
        looking, _ = self.looking(tmp_path)
        looking.watch(watched=True)
        looking.open_photo(PHOTO, colours())
        looking.open_bundle(tmp_path / "none")
        assert (looking.sight, looking.grid) == (None, None)

    def test_a_photo_like_a_thread_is_said(self, tmp_path: Path) -> None:
        looking, _ = self.looking(tmp_path)
        bundles.write_manifest(tmp_path, bundles.changed(bundles.manifest_tree(), **BY_SHORT_SIDE))
        looking.watch(watched=True)
        looking.open_bundle(tmp_path)
        looking.open_photo(Photo(Path("thread.png"), "2" * 64, 1 << 20, 1), np.zeros((1, 1 << 20, 3), dtype=np.uint8))
        assert looking.sight is None
        assert "too long and thin" in looking.problem

    def test_what_comes_late_is_dropped(self, tmp_path: Path) -> None:
        waiting: list[Callable[[], None]] = []

        class Late(AtOnce):
            def aside(self, work, then, failed):  # type: ignore[no-untyped-def]
                waiting.append(lambda: AtOnce.aside(self, work, then, failed))

        looking, _ = self.looking(tmp_path, Late())
        looking.watch(watched=True)
        looking.open_bundle(tmp_path)
        waiting.pop()()
        looking.open_photo(PHOTO, colours())
        looking.open_photo(Photo(Path("other.png"), "1" * 64, 50, 50), colours(50, 50))
        late, now = waiting
        now()
        late()
        assert looking.sight is not None
        assert looking.sight.photo.width_px == 50
