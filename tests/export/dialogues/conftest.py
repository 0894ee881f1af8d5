import pytest

from gpt4roi_export.dialogues.names import NameIndex, index_names
from gpt4roi_export.vocabulary import read_accepted, read_vocabulary


@pytest.fixture(scope="session")
def index() -> NameIndex:
    return index_names(read_vocabulary(), read_accepted())
