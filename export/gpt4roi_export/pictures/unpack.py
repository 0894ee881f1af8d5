"""The packages' pictures into a folder, cut out, named and split; the story of ``gpt4roi-export pictures``.

Does not know what is composed of them.
"""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace
from PIL import Image

from gpt4roi_export.pictures.cutting import Rgba, clear_ground, decode_rgba, shrunk, tight
from gpt4roi_export.pictures.deb import read_deb
from gpt4roi_export.pictures.index import Backdrop, Boxed, Cutout, Named, Photo, Pictures, Split, write_index
from gpt4roi_export.pictures.packages import Package, find_package, packages
from gpt4roi_export.pictures.rcc import read_rcc
from gpt4roi_export.pictures.splitting import may_be_practised, split_of_backdrop, split_of_picture
from gpt4roi_export.scene import COLORS
from gpt4roi_export.vocabulary import N_IMAGENET, Vocabulary, read_accepted, read_coco_names, read_vocabulary
from gpt4roi_runtime.errors import InputError, OutputError
from gpt4roi_runtime.storage import written_aside

_NAMES = Path(__file__).parent / "names"
_STAMPS = "usr/share/tuxpaint/stamps/"
_RESOURCES = "usr/share/gcompris-qt/rcc/"
_EMOJI = "package/assets/"
_CLIP_ART = "usr/share/openclipart/png/"
_MOST_PHOTO_SIDE_PX = 960
_MOST_FILE_BYTES = 64 << 20
_REGION = re.compile(r"^([^\d(]+?)(?: \(([a-z]+)\))? (\d+) (\d+) (\d+) (\d+)$")

Progress = Callable[[str, float], None]
"""Told what is being done now, and which share (0..1) of the whole work lies before it."""


@dataclass(frozen=True)
class _Words:
    """What there is to say about a name."""

    vocabulary: Vocabulary
    accepted: dict[str, tuple[str, ...]]
    everyday: frozenset[str]

    def named(self, name: str) -> Named:
        classes = self.vocabulary.names[:N_IMAGENET]
        accepted = (name, *self.accepted.get(name, ()))
        return Named(name, self.vocabulary.kind_of(name), any(word in classes for word in accepted), accepted)


def unpack_pictures(packages_folder: Path, out: Path, progress: Progress = lambda _doing, _done: None) -> Pictures:
    """Write the picture folder: PNG cut-outs, JPEG photos and backdrops, and ``index.json``.

    Args:
        packages_folder: Folder with the files of ``packages.txt``; hashes are checked.
        out: Folder to write; pictures of the same name are replaced.
        progress: Told what is being done.

    Returns:
        What was written.

    Raises:
        InputError: A package is missing, another one, or damaged.
        OutputError: The folder cannot be written.
    """
    listed = packages()
    paths = {key: find_package(package, packages_folder) for key, package in listed.items()}
    words = _Words(read_vocabulary(), read_accepted(), frozenset(read_coco_names().values()))
    try:
        for folder in ("cutouts", "photos", "backdrops"):
            (out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise OutputError(f"cannot make the folder {out}: {failed}", "Choose another one with --out.") from failed
    progress("cutting out stamps", 0.0)
    stamps = _of_deb(paths["tuxpaint"], _STAMPS, "tuxpaint.tsv")
    cutouts = list(_cut_plain(listed["tuxpaint"], stamps, "tuxpaint.tsv", words, out))
    progress("cutting out renderings", 0.3)
    cutouts += _cut_plain(listed["fluent"], _emoji(paths["fluent"]), "fluent.tsv", words, out)
    progress("cutting out drawings", 0.4)
    drawings = _of_deb(paths["openclipart"], _CLIP_ART, "openclipart.tsv")
    drawn = _cut_plain(listed["openclipart"], drawings, "openclipart.tsv", words, out)
    cutouts += (replace(one, split="practice") for one in drawn if may_be_practised(one.named, words.everyday))
    progress("reading photos", 0.6)
    resources = _resources(paths["gcompris"])
    cutouts += _cut_plain(listed["gcompris"], resources, "gcompris_cutouts.tsv", words, out)
    contents = {"gcompris": resources, "templates": _members(paths["templates"])}
    photos = [
        _photo(listed["gcompris"], resources, file, boxed, words, out)
        for file, boxed in _rows("gcompris_photos.tsv", 2)
    ]
    for key, file, boxed in _rows("labelled_photos.tsv", 3):
        photo = _practised(_photo(listed[key], contents[key], file, boxed, words, out), words)
        photos += [photo] if photo.regions else []
    progress("reading backdrops", 0.8)
    backdrops = tuple(_backdrops(contents, listed, out))
    pictures = Pictures(tuple(cutouts), tuple(photos), backdrops)
    write_index(out, pictures)
    return pictures


def _of_deb(package: Path, folder: str, names: str) -> dict[str, bytes]:
    wanted = {file for file, *_ in _rows(names, 3)}
    found = ((path.removeprefix(folder), content) for path, content in read_deb(package, (folder,)))
    return {path: content for path, content in found if path in wanted}


def _resources(package: Path) -> dict[str, bytes]:
    wanted = {row[0] for row in (*_rows("gcompris_cutouts.tsv", 3), *_rows("gcompris_photos.tsv", 2))}
    wanted |= _files_of("gcompris")
    # The name of a resource file is the name of the activity whose pictures it holds.
    files = tuple(sorted({f"{_RESOURCES}{path.split('/')[3]}.rcc" for path in wanted}))
    inside = (entry for _, content in read_deb(package, files) for entry in read_rcc(content))
    return {path: content for path, content in inside if path in wanted}


def _emoji(package: Path) -> dict[str, bytes]:
    wanted = {file for file, *_ in _rows("fluent.tsv", 3)}
    found = {}
    try:
        with tarfile.open(package, "r:gz") as archive:
            for member in archive:
                file = member.name.removeprefix(_EMOJI)
                if file in wanted and member.isreg() and member.size <= _MOST_FILE_BYTES:
                    stream = archive.extractfile(member)
                    found[file] = stream.read() if stream is not None else b""
    except (OSError, EOFError, tarfile.TarError) as failed:
        raise InputError(f"{package} cannot be read: {failed}", "Fetch the package again.") from failed
    return found


def _members(package: Path) -> dict[str, bytes]:
    wanted = _files_of("templates")
    try:
        with zipfile.ZipFile(package) as archive:
            small = [info for info in archive.infolist() if info.file_size <= _MOST_FILE_BYTES]
            return {info.filename: archive.read(info) for info in small if info.filename in wanted}
    except (OSError, EOFError, zipfile.BadZipFile) as failed:
        raise InputError(f"{package} cannot be read: {failed}", "Fetch the package again.") from failed


def _files_of(package: str) -> set[str]:
    """What the lists of more than one package take from it."""
    rows = (*_rows("backdrops.tsv", 2), *_rows("labelled_photos.tsv", 3))
    return {path for key, path, *_ in rows if key == package}


def _cut_plain(package: Package, contents: dict[str, bytes], names: str, words: _Words, out: Path) -> Iterator[Cutout]:
    for file, name, manner in _rows(names, 3):
        rgba = decode_rgba(_get(contents, file, package.name), file)
        if manner in ("white", "black"):
            rgba = clear_ground(rgba, dark=manner == "black")
        cut = tight(rgba)
        if cut is None:
            continue
        path = f"cutouts/{package.key}-{_flat(file)}.png"
        _write(cut, out / path, "PNG")
        named = words.named(name)
        split = split_of_picture(f"{package.key}/{file}", (named,), words.everyday)
        yield Cutout(path, named, package.name, package.licence, manner != "drawing", split)


def _photo(package: Package, contents: dict[str, bytes], file: str, boxed: str, words: _Words, out: Path) -> Photo:
    regions = tuple(_region(part.strip(), words) for part in boxed.split(";"))
    rgba = decode_rgba(_get(contents, file, package.name), file)
    path = f"photos/{package.key}-{_flat(file)}.jpg"
    _write(shrunk(rgba, _MOST_PHOTO_SIDE_PX), out / path, "JPEG")
    named = tuple(region.named for region in regions)
    split = split_of_picture(f"{package.key}/{file}", named, words.everyday)
    return Photo(path, regions, package.name, package.licence, split)


def _practised(photo: Photo, words: _Words) -> Photo:
    """The photo to train on and ask about nowhere, without what no picture may teach; its colors were looked at."""
    regions = tuple(
        replace(region, many_colored=region.color is None)
        for region in photo.regions
        if may_be_practised(region.named, words.everyday)
    )
    return replace(photo, regions=regions, split="practice")


def _region(text: str, words: _Words) -> Boxed:
    """A name, a color where somebody looked, and a box in percent: ``koala (gray) 25 17 80 85``."""
    match = _REGION.match(text)
    if match is None or match[2] not in (None, *COLORS):
        raise InputError(f"{text!r} is no region of a photo", "Expected a name, a color or none, and four percentages.")
    x1, y1, x2, y2 = (int(number) / 100 for number in match.groups()[2:])
    return Boxed(words.named(match[1]), (x1, y1, x2, y2), match[2])


def _backdrops(contents: dict[str, dict[str, bytes]], listed: dict[str, Package], out: Path) -> Iterator[Backdrop]:
    for key, file in _rows("backdrops.tsv", 2):
        package = listed[key]
        rgba = decode_rgba(_get(contents[key], file, package.name), file)
        path = f"backdrops/{key}-{_flat(file)}.jpg"
        _write(shrunk(rgba, _MOST_PHOTO_SIDE_PX), out / path, "JPEG")
        split: Split = split_of_backdrop(f"{key}/{file}")
        yield Backdrop(path, package.name, package.licence, split)


_Value = TypeVar("_Value")


def _get(contents: dict[str, _Value], file: str, package: str) -> _Value:
    try:
        return contents[file]
    except KeyError:
        raise InputError(f"{package} holds no {file}", "Fetch the version of packages.txt.") from None


def _flat(file: str) -> str:
    """A file name out of a path; the folders stay in it, so that no two files become one."""
    stem = file.rsplit(".", 1)[0].removeprefix("gcompris/src/activities/")
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem)


def _rows(names: str, n_columns: int) -> list[list[str]]:
    rows = [line.split("\t") for line in (_NAMES / names).read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if len(row) != n_columns:
            raise InputError(f"{names}: {row!r}", f"Expected {n_columns} columns with tabs between them.")
    return rows


def _write(rgba: Rgba, path: Path, picture_format: str) -> None:
    picture = Image.fromarray(rgba)
    if picture_format == "JPEG":
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, picture_format, quality=92)
    with written_aside(path) as file:
        file.write(buffer.getvalue())
