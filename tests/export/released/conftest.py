import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from gpt4roi_export.released.language_release import LanguageRelease
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders, synthesize
from gpt4roi_export.tensor_files.open_tensors import open_tensors
from gpt4roi_export.tensors import Array

Arrays = dict[str, Array]
Change = Callable[[Arrays], object]


def quiet(doing: str, done: float) -> None:
    pass


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SynthesizedFolders:
    """Base, delta and CLIP."""
    return synthesize("tiny", tmp_path_factory.mktemp("released") / "pair", 0, quiet, as_delta=True)


@pytest.fixture(scope="session")
def merged(tmp_path_factory: pytest.TempPathFactory) -> SynthesizedFolders:
    """The same, merged."""
    return synthesize("tiny", tmp_path_factory.mktemp("released") / "merged", 0, quiet)


def changed(folder: Path, out: Path, change: Change | None = None, config: Mapping[str, object] | None = None) -> Path:
    """A copy of a release with other tensors, in one file, or another config; a value of None drops the entry."""
    import safetensors.numpy

    out.mkdir()
    for path in folder.iterdir():
        if path.suffix in (".json", ".model") and "index" not in path.name:
            shutil.copy(path, out / path.name)
    if config:
        entries = {**json.loads((out / "config.json").read_text()), **config}
        kept = {name: value for name, value in entries.items() if value is not None}
        (out / "config.json").write_text(json.dumps(kept))
    opened = open_tensors(folder)
    arrays: Arrays = {name: np.array(opened.read(name)) for name in opened.facts}
    if change is not None:
        change(arrays)
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    safetensors.numpy.save_file(contiguous, out / "model.safetensors")
    return out


def path_of(folder: Path | None) -> Path:
    assert folder is not None
    return folder


def arrays_of(release: LanguageRelease) -> Arrays:
    return {name: release.tensors.read(name) for name in release.tensors.facts}
