"""The parity certificate: what was compared, with which engines, how near it came, against which limits.

It lies in the bundle's folder as ``parity.json``, and the manifest does not name it: it speaks of one bundle by its id,
and a changed bundle is another one. Knows no engine and no checkpoint.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gpt4roi_export.parity import ParityReport
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import written_aside

NAME = "parity.json"
_MOST_BYTES = 1 << 20


class Comparison(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage.

    Attributes:
        stage: Its name.
        max_abs: Largest absolute difference.
        relative_error: Frobenius norm of the difference over that of the reference.
        cosine: Of the flattened arrays.
        most_relative_error: Largest that is allowed.
        least_cosine: Smallest that is allowed.
        off: What is wrong in words; empty if all is well.
    """

    stage: str
    max_abs: float | None
    relative_error: float | None
    cosine: float | None
    most_relative_error: float
    least_cosine: float
    off: str = ""


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one engine gave.

    Attributes:
        engine: Name and version.
        stages: In the order of the data flow.
    """

    engine: str
    stages: tuple[Comparison, ...]


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        version: Of this format.
        bundle_id: The bundle that was looked at.
        reference: What it was held against.
        picture: Name of the picture that was used.
        boxes: x1 y1 x2 y2 in 0..1.
        engines: What each of them gave.
    """

    version: Literal[1]
    bundle_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    reference: str
    picture: str
    boxes: tuple[tuple[float, float, float, float], ...]
    engines: tuple[Engine, ...]

    @property
    def off(self) -> tuple[Comparison, ...]:
        """The stages outside their limits."""
        return tuple(stage for engine in self.engines for stage in engine.stages if stage.off)


def comparisons(report: ParityReport) -> tuple[Comparison, ...]:
    """A report as it is written down; numbers that are none become absent."""
    return tuple(
        Comparison(
            stage=stage.stage,
            max_abs=_finite(stage.max_abs),
            relative_error=_finite(stage.relative_error),
            cosine=_finite(stage.cosine),
            most_relative_error=report.limits.relative_error,
            least_cosine=report.limits.cosine,
            off=stage.off,
        )
        for stage in report.stages
    )


def write_certificate(folder: Path, certificate: Certificate) -> Path:
    """Put it into the bundle's folder, in place of an older one.

    Raises:
        OutputError: The file cannot be written.
    """
    path = folder / NAME
    with written_aside(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(certificate), indent=2) + b"\n")
    return path


def read_certificate(folder: Path) -> Certificate | None:
    """The certificate of a bundle's folder, or None if there is none.

    Raises:
        BundleError: The file is there and is none.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise BundleError(f"{path} is longer than {_MOST_BYTES} bytes", "Remove it and make a new one.")
        return msgspec.json.decode(content, type=Certificate)
    except (OSError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as failed:
        raise BundleError(f"{path} is no parity certificate: {failed}", "Remove it and make a new one.") from failed


def _finite(number: float) -> float | None:
    return number if abs(number) < float("inf") else None
