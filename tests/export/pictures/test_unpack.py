import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpt4roi_export.pictures import unpack as module
from gpt4roi_export.pictures.index import read_index
from gpt4roi_export.pictures.packages import Package
from gpt4roi_export.pictures.unpack import unpack_pictures
from gpt4roi_export.scene import COLORS
from gpt4roi_export.vocabulary import read_vocabulary
from gpt4roi_runtime.errors import ImageError, InputError, OutputError
from tests.export.pictures.packaging import deb, rcc, tar_of

ACTIVITY = ("gcompris", "src", "activities", "zoo")
NAMES = {
    "tuxpaint.tsv": "animals/frog.png\tfrog\tphoto\nanimals/card.png\tlion\tdrawing\n",
    "fluent.tsv": "1f438.webp\tfrog\tdrawing\n",
    "gcompris_cutouts.tsv": "gcompris/src/activities/zoo/hammer.webp\thammer\twhite\n",
    "gcompris_photos.tsv": "gcompris/src/activities/zoo/two.webp\tkoala 10 20 50 90; fork 60 20 99 90\n",
    "openclipart.tsv": "animals/bee.png\tbee\tdrawing\nanimals/capybara.png\tcapybara\tdrawing\n",
    "labelled_photos.tsv": "templates\ttemplates/room.webp\ttable lamp (red) 10 20 50 90; capybara 60 20 99 90\n",
    "backdrops.tsv": "templates\ttemplates/room.webp\ngcompris\tgcompris/src/activities/zoo/sea.webp\n",
}


def picture(*, cut: bool, picture_format: str = "WEBP", ground: int = 255) -> bytes:
    rgba = np.full((60, 80, 4), ground, np.uint8)
    rgba[20:50, 10:60, :3] = (30, 160, 40)
    rgba[..., 3] = 255
    if cut:
        rgba[..., 3] = 0
        rgba[20:50, 10:60, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, picture_format, lossless=True)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages with a picture of every sort, and the lists that name them."""
    stamps = {
        "./usr/share/tuxpaint/stamps/animals/frog.png": picture(cut=True, picture_format="PNG"),
        "./usr/share/tuxpaint/stamps/animals/card.png": picture(cut=False, picture_format="PNG"),
        "./usr/share/tuxpaint/stamps/animals/frog.ogg": b"croak",
    }
    deb(tmp_path / "stamps.deb", stamps)
    zoo = {"hammer.webp": picture(cut=False), "two.webp": picture(cut=False), "sea.webp": picture(cut=False)}
    deb(tmp_path / "games.deb", {"./usr/share/gcompris-qt/rcc/zoo.rcc": rcc(zoo, folders=ACTIVITY)})
    drawings = {
        f"./usr/share/openclipart/png/animals/{name}.png": picture(cut=True, picture_format="PNG")
        for name in ("bee", "capybara")
    }
    deb(tmp_path / "drawings.deb", drawings)
    emoji = {"package/assets/1f438.webp": picture(cut=True), "package/../../evil.webp": b"evil"}
    (tmp_path / "emoji.tgz").write_bytes(tar_of(emoji, "w:gz"))
    with zipfile.ZipFile(tmp_path / "rooms.whl", "w") as archive:
        archive.writestr("templates/room.webp", picture(cut=False))
    files = {
        "tuxpaint": "stamps.deb",
        "gcompris": "games.deb",
        "fluent": "emoji.tgz",
        "templates": "rooms.whl",
        "openclipart": "drawings.deb",
    }
    listed = {
        key: Package(key, "apt", key, "1", file, hashlib.sha256((tmp_path / file).read_bytes()).hexdigest(), "MIT")
        for key, file in files.items()
    }
    monkeypatch.setattr(module, "packages", lambda: listed)
    monkeypatch.setattr(module, "_NAMES", tmp_path)
    for name, content in NAMES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def test_every_sort_of_picture_is_unpacked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures = unpack_pictures(folder, out)
    assert read_index(out) == pictures
    assert [(one.named.name, one.source, one.photographic) for one in pictures.cutouts] == [
        ("frog", "tuxpaint", True),  # but not the lion, which has no transparency
        ("frog", "fluent", False),
        ("bee", "openclipart", False),
        ("hammer", "gcompris", True),
    ]
    for cutout in pictures.cutouts:
        with Image.open(out / cutout.path) as opened:
            assert opened.mode == "RGBA"
            assert abs(opened.width - 50) <= 2
            assert abs(opened.height - 30) <= 2
    assert [[(one.named.name, one.box, one.color) for one in photo.regions] for photo in pictures.photos] == [
        [("koala", (0.1, 0.2, 0.5, 0.9), None), ("fork", (0.6, 0.2, 0.99, 0.9), None)],
        [("table lamp", (0.1, 0.2, 0.5, 0.9), "red")],
    ]
    assert [backdrop.source for backdrop in pictures.backdrops] == ["templates", "gcompris"]
    assert not list(tmp_path.rglob("evil*"))


def test_what_is_only_practised_teaches_nothing_that_is_held_out(folder: Path, tmp_path: Path) -> None:
    pictures = unpack_pictures(folder, tmp_path / "out")
    practised = [one.source for one in (*pictures.cutouts, *pictures.photos) if one.split == "practice"]
    assert practised == ["openclipart", "templates"]
    everything = [one.named for one in pictures.cutouts] + [
        region.named for photo in pictures.photos for region in photo.regions
    ]
    assert "capybara" not in {thing.name for thing in everything}  # every picture of one is held out


def test_what_is_said_about_a_name(folder: Path, tmp_path: Path) -> None:
    frog = unpack_pictures(folder, tmp_path / "out").cutouts[0].named
    assert (frog.kind, frog.known, frog.accepted[0]) == ("amphibian", True, "frog")
    assert "tree frog" in frog.accepted


def test_a_second_run_writes_the_same(folder: Path, tmp_path: Path) -> None:
    unpack_pictures(folder, tmp_path / "out")
    first = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    unpack_pictures(folder, tmp_path / "out")
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == first


@pytest.mark.parametrize(
    ("names", "content", "complaint"),
    [
        ("fluent.tsv", "none.webp\tfrog\tdrawing\n", "holds no none.webp"),
        ("fluent.tsv", "1f438.webp\tflorp\tdrawing\n", "'florp' is not in the vocabulary"),
        ("fluent.tsv", "1f438.webp\tfrog\n", "Expected 3 columns"),
        ("gcompris_photos.tsv", "gcompris/src/activities/zoo/two.webp\tkoala 1 2 3\n", "no region"),
        ("gcompris_photos.tsv", "gcompris/src/activities/zoo/two.webp\tkoala (beige) 1 2 3 4\n", "no region"),
    ],
)
def test_lists_and_packages_that_do_not_match(
    names: str, content: str, complaint: str, folder: Path, tmp_path: Path
) -> None:
    (folder / names).write_text(content)
    with pytest.raises(InputError, match=complaint):
        unpack_pictures(folder, tmp_path / "out")


def test_another_package_is_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / "emoji.tgz").write_bytes(b"forged")
    with pytest.raises(InputError, match="has sha256"):
        unpack_pictures(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_picture_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_emoji", lambda _: {"1f438.webp": b"RIFF"})
    with pytest.raises(ImageError, match=r"1f438\.webp"):
        unpack_pictures(folder, tmp_path / "out")


def test_a_file_in_the_way(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make the folder"):
        unpack_pictures(folder, tmp_path / "out")


def test_the_published_lists_name_only_the_vocabulary() -> None:
    vocabulary = set(read_vocabulary().names)
    published = Path(module.__file__).parent / "names"
    names = {"tuxpaint.tsv": 3, "fluent.tsv": 3, "gcompris_cutouts.tsv": 3, "openclipart.tsv": 3}
    for file, n_columns in names.items():
        rows = [line.split("\t") for line in (published / file).read_text().splitlines()]
        assert len({row[0] for row in rows}) == len(rows)
        for row in rows:
            assert len(row) == n_columns
            assert row[1] in vocabulary
    photos = [line.split("\t")[1] for line in (published / "gcompris_photos.tsv").read_text().splitlines()]
    rows = [line.split("\t") for line in (published / "labelled_photos.tsv").read_text().splitlines()]
    assert len({(key, file) for key, file, _ in rows}) == len(rows)
    for region in "; ".join((*photos, *(boxed for _, _, boxed in rows))).split("; "):
        name, x1, y1, x2, y2 = region.rsplit(" ", 4)
        name, _, color = name.partition(" (")
        assert name in vocabulary
        assert color.removesuffix(")") in ("", *COLORS)
        assert 0 <= int(x1) < int(x2) <= 100
        assert 0 <= int(y1) < int(y2) <= 100
