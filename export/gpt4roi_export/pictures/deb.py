"""Files inside a Debian package (``.deb``), read one after the other.

Does not know what the files are; nothing is written, so no path in the package leads anywhere.
"""

import io
import tarfile
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path

from gpt4roi_runtime.errors import InputError

_MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_MOST_FILE_BYTES = 64 << 20


def read_deb(package: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Every plain file whose path begins with one of ``folders`` (``usr/share/x/``), with its path.

    Raises:
        InputError: It is no Debian package, is damaged, or holds a file beyond 64 MiB.
    """
    try:
        with package.open("rb") as file, tarfile.open(fileobj=io.BytesIO(_data_member(file, package))) as archive:
            for member in archive:
                path = member.name.removeprefix("./")
                if not member.isreg() or not path.startswith(folders):
                    continue
                if member.size > _MOST_FILE_BYTES:
                    raise _damaged(package, f"{path} is larger than {_MOST_FILE_BYTES} bytes")
                stream = archive.extractfile(member)
                yield path, stream.read() if stream is not None else b""
    except (OSError, EOFError, LZMAError, tarfile.TarError) as failed:
        raise _damaged(package, str(failed)) from failed


def _data_member(file: io.BufferedReader, package: Path) -> bytes:
    """The member ``data.tar.*`` of the outer archive, which is in the format of ``ar``."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise _damaged(package, "it does not begin as such a package does")
    while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
        if not size.isdigit():
            raise _damaged(package, f"the size of {name!r} is {size!r}")
        if name.startswith("data.tar"):
            return file.read(int(size))
        file.seek(int(size) + int(size) % 2, io.SEEK_CUR)
    raise _damaged(package, "it holds no data.tar")


def _damaged(package: Path, why: str) -> InputError:
    return InputError(f"{package} cannot be read as a Debian package: {why}", "Fetch the package again.")
