"""What several rooms of the runtime are tested on."""

from pathlib import Path

import pytest

from tests.helpers.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's file, of the module's own."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")
