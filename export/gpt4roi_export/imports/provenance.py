"""What a bundle was made from, as its manifest records it. Does not decide what goes into a bundle."""

import hashlib
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from gpt4roi_runtime.bundle.manifest import Input, Provenance
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import sha256_of

LIBRARIES = ("gpt4roi-edge", "numpy", "onnx", "onnxscript", "torch", "gguf", "llama-cpp-python")
"""What has a say in a bundle's bytes."""


def read_inputs(
    files: Mapping[str, tuple[Path, ...]], on_bytes: Callable[[int], None] = lambda _new: None
) -> tuple[Input, ...]:
    """Hash every file.

    Args:
        files: By what they were taken for.
        on_bytes: Told of every piece that was read.

    Raises:
        BundleError: A file cannot be read.
    """
    return tuple(_input(part, path, on_bytes) for part in sorted(files) for path in sorted(set(files[part])))


def _input(part: str, path: Path, on_bytes: Callable[[int], None]) -> Input:
    try:
        return Input(part=part, name=path.name, size_bytes=path.stat().st_size, sha256=sha256_of(path, on_bytes))
    except OSError as failed:
        raise BundleError(f"cannot read {path}: {failed.strerror or failed}", "Fetch the checkpoint again.") from failed


def provenance(inputs: tuple[Input, ...], settings: Mapping[str, str]) -> Provenance:
    """The record.

    Args:
        inputs: From ``read_inputs``.
        settings: What was asked for, in words.
    """
    return Provenance(
        inputs=inputs, settings=dict(sorted(settings.items())), versions={name: _version(name) for name in LIBRARIES}
    )


def identity(files: Mapping[str, tuple[Path, ...]], settings: Mapping[str, str]) -> str:
    """A key of an import that costs no reading: places, sizes and times of its files, settings and versions.

    Raises:
        BundleError: A file is gone.
    """
    facts: list[tuple[str, ...]] = [*sorted(settings.items()), *((name, _version(name)) for name in LIBRARIES)]
    for part in sorted(files):
        for path in sorted(set(files[part])):
            try:
                stat = path.stat()
            except OSError as failed:
                raise BundleError(
                    f"cannot read {path}: {failed.strerror or failed}", "Fetch the checkpoint again."
                ) from failed
            facts.append((part, str(path.absolute()), str(stat.st_size), str(stat.st_mtime_ns)))
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
