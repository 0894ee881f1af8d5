"""Boxes and photos on the system's clipboard. What comes from there is a stranger's. Knows no session."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMimeData
from PySide6.QtGui import QGuiApplication, QImage

from gpt4roi_desktop.places import Places
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS
from gpt4roi_runtime.errors import OutputError, RegionError
from gpt4roi_runtime.geometry import Box
from gpt4roi_runtime.storage import written_aside

_MIME = "application/x-gpt4roi-boxes"
_MOST_BYTES = 1 << 20


def copy_boxes(boxes: Sequence[Box]) -> None:
    """Put boxes on the clipboard, for us as they are and for others as text."""
    content = QMimeData()
    content.setData(_MIME, QByteArray(msgspec.json.encode([box.xyxy for box in boxes])))
    content.setText("\n".join(map(str, boxes)))
    QGuiApplication.clipboard().setMimeData(content)


def let_go() -> None:
    """Leave only text of ours on the clipboard, before the program ends.

    Qt frees what is there after Python is gone, and would crash on an object that Python made.
    """
    content = _content()
    if content is not None and content.hasFormat(_MIME):
        QGuiApplication.clipboard().setText(content.text())


def pasted_boxes() -> tuple[Box, ...]:
    """The boxes on the clipboard; none where there are none that can be read."""
    content = _content()
    raw = b"" if content is None else content.data(_MIME).data()
    if not raw or len(raw) > _MOST_BYTES:
        return ()
    try:
        corners = msgspec.json.decode(raw, type=list[tuple[float, float, float, float]])
        return tuple(Box(*each) for each in corners[:MAX_REGIONS])
    except (msgspec.MsgspecError, RegionError):
        return ()


def pasted_photo(places: Places) -> Path | None:
    """The photo on the clipboard, as a file: one that was copied, or a picture, which gets a file of ours.

    Raises:
        OutputError: Its file cannot be written.
    """
    content = _content()
    if content is None:
        return None
    files = [url.toLocalFile() for url in content.urls() if url.isLocalFile()]
    if files:
        return Path(files[0])
    image = content.imageData() if content.hasImage() else None
    if not isinstance(image, QImage) or image.isNull():
        return None
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):  # type: ignore[call-overload]  # the stubs forget str
        raise OutputError("the picture on the clipboard cannot be kept", "Save it to a file, then open that.")
    raw = buffer.data().data()
    path = places.pasted(hashlib.sha256(raw).hexdigest())
    places.make(path.parent)
    with written_aside(path) as file:
        file.write(raw)
    return path


def _content() -> QMimeData | None:
    """What is on the clipboard; None where nothing ever was."""
    return QGuiApplication.clipboard().mimeData()
