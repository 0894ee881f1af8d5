from pathlib import Path

import numpy as np
import pytest

from gpt4roi_export.certificate.certificate import (
    NAME,
    Certificate,
    Engine,
    comparisons,
    read_certificate,
    write_certificate,
)
from gpt4roi_export.parity import compare
from gpt4roi_runtime.errors import BundleError

ONES = np.ones(4, dtype=np.float32)


def certificate(candidate: np.ndarray) -> Certificate:
    stages = comparisons(compare({"region_embeddings": ONES}, {"region_embeddings": candidate}))
    return Certificate(
        version=1,
        bundle_id="0123456789abcdef",
        reference="torch",
        picture="coffee.jpg",
        boxes=((0.0, 0.1, 0.5, 1.0),),
        engines=(Engine("an engine", stages),),
    )


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_certificate(tmp_path) is None
    for written in (certificate(ONES), certificate(ONES * 2)):
        write_certificate(tmp_path, written)
        assert read_certificate(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_it_tells_what_is_off() -> None:
    assert certificate(ONES).off == ()
    (off,) = certificate(ONES * 2).off
    assert (off.stage, off.max_abs, off.relative_error, off.cosine) == ("region_embeddings", 1.0, 1.0, 1.0)


def test_what_is_not_a_number_is_absent(tmp_path: Path) -> None:
    broken = certificate(ONES * np.nan)
    write_certificate(tmp_path, broken)
    assert read_certificate(tmp_path) == broken
    assert broken.off[0].cosine is None
    assert "NaN" in broken.off[0].off


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 5000, b"\xff", b'{"version": 2}', b" " * (2 << 20)])
def test_another_file_of_its_name_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(BundleError, match=NAME):
        read_certificate(tmp_path)
