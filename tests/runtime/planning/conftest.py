"""Headers of a model of seven billion weights, written once a session."""

from pathlib import Path

import pytest

from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.planning.demand import BundleFacts, read_bundle_facts
from gpt4roi_runtime.planning.language_file import LanguageFile
from tests.runtime.planning.shaped import write_bundle


@pytest.fixture(scope="session")
def big_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("big"))


@pytest.fixture(scope="session")
def facts(big_bundle: Path) -> BundleFacts:
    return read_bundle_facts(open_bundle(big_bundle))


@pytest.fixture(scope="session")
def language(facts: BundleFacts) -> LanguageFile:
    return facts.language
