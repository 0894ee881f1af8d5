from pathlib import Path

import pytest

from gpt4roi_export.imports.importing import ImportSettings, import_release
from gpt4roi_export.imports.sources import Folders, Sources, open_sources
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders, synthesize


def silent(_doing: str, _done: float) -> None:
    """Progress for nobody."""


@pytest.fixture(scope="session")
def split(tmp_path_factory: pytest.TempPathFactory) -> SynthesizedFolders:
    """A tiny base, delta and CLIP."""
    return synthesize("tiny", tmp_path_factory.mktemp("checkpoint") / "split", 0, silent, as_delta=True)


@pytest.fixture(scope="session")
def merged(tmp_path_factory: pytest.TempPathFactory) -> SynthesizedFolders:
    """The same model merged, in another format."""
    folder = tmp_path_factory.mktemp("checkpoint") / "merged"
    return synthesize("tiny", folder, 0, silent, file_format="safetensors")


@pytest.fixture(scope="session")
def sources(split: SynthesizedFolders) -> Sources:
    return open_sources(Folders(clip=split.clip, base=split.base, delta=split.delta))


@pytest.fixture(scope="session")
def half_bundle(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle whose language model is whole."""
    out = tmp_path_factory.mktemp("imported") / "half"
    import_release(sources, ImportSettings(language="F16"), out, silent)
    return out
