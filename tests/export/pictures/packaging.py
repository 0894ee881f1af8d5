"""Tiny packages of the formats that pictures come in; does not know what the pictures are of."""

import io
import struct
import tarfile
import zlib
from pathlib import Path

COMPRESSED, DIRECTORY, ZSTANDARD = 1, 2, 4
RCC_HEADER_BYTES = 24


def rcc(
    files: dict[str, bytes], *, flags: int = 0, folders: tuple[str, ...] = ("pics",), first_child: int | None = None
) -> bytes:
    """A Qt resource file of version 3: the root, folders inside each other, and files in the innermost."""
    contents, names, nodes = b"", b"", []

    def name(text: str) -> int:
        nonlocal names
        at = len(names)
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return at

    nodes.append(struct.pack(">IHIIQ", 0, DIRECTORY, 1, 1, 0))
    for number, folder in enumerate(folders, start=2):
        innermost = number == len(folders) + 1
        first = first_child if innermost and first_child is not None else number
        nodes.append(struct.pack(">IHIIQ", name(folder), DIRECTORY, len(files) if innermost else 1, first, 0))
    for text, content in files.items():
        packed = struct.pack(">I", len(content)) + zlib.compress(content) if flags & COMPRESSED else content
        nodes.append(struct.pack(">IHHHIQ", name(text), flags, 0, 0, len(contents), 0))
        contents += struct.pack(">I", len(packed)) + packed
    names_at = RCC_HEADER_BYTES + len(contents)
    header = b"qres" + struct.pack(">IIIII", 3, names_at + len(names), RCC_HEADER_BYTES, names_at, 0)
    return header + contents + names + b"".join(nodes)


def member(name: str, content: bytes) -> bytes:
    """One file of an ``ar`` archive."""
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def deb(path: Path, files: dict[str, bytes], *, link: str | None = None) -> Path:
    """A Debian package, perhaps with a symbolic link."""
    tar = tar_of(files, "w:xz", link)
    path.write_bytes(b"!<arch>\n" + member("debian-binary", b"2.0") + member("data.tar.xz/", tar))
    return path


def tar_of(files: dict[str, bytes], mode: str, link: str | None = None) -> bytes:
    """A compressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload] # any mode
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link is not None:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    return buffer.getvalue()
