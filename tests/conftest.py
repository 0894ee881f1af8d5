"""What holds for every test: shapes and types are checked while the code runs, and the embedded bundle is at hand."""

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

# Before anything of ours is imported. An int may stand where a float is written (PEP 484's numeric tower).
install_import_hook(
    ["gpt4roi_runtime", "gpt4roi_export"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

hypothesis.settings.register_profile("project", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("project")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache decides nothing here, such as the engine that `doctor --tune` chose, and stays as it is."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Numbers of the authors' modules; tests/golden/README.md says how they were made."""
    return REPOSITORY / "tests" / "golden"


@pytest.fixture(scope="session")
def sample_photo() -> Path:
    """The photo that ships with the runtime, 600 x 400: a cup on a saucer, with a spoon."""
    return REPOSITORY / "runtime" / "gpt4roi_runtime" / "samples" / "coffee.jpg"


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    """The embedded bundle, as `make bundle` assembled it."""
    from gpt4roi_runtime import default_bundle

    folder = default_bundle()
    if not (folder / "manifest.json").is_file():
        pytest.fail(f"no bundle at {folder}: run `make bundle`, or leave these tests out with -m 'not bundle'")
    return folder


@pytest.fixture(scope="session")
def smollm2_gguf(bundle_dir: Path) -> Path:
    """The language model of the embedded bundle."""
    from gpt4roi_runtime import open_bundle

    bundle = open_bundle(bundle_dir)
    return bundle.path_of(bundle.manifest.language.gguf)
