import pytest

from gpt4roi_export.class_names import read_class_names
from gpt4roi_runtime.errors import BundleError


def test_names_are_shortened() -> None:
    source = 'import os\nIMAGENET_CLASSNAMES = ("tench", "kite (bird of prey)", "cardboard box / carton")\n'
    assert read_class_names(source, 3) == ("tench", "kite", "cardboard box")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "IMAGENET_CLASSNAMES = 3",
        'IMAGENET_CLASSNAMES = ["a"]',
        "IMAGENET_CLASSNAMES = ['a', 3]",
        "IMAGENET_CLASSNAMES = __import__('os').listdir('.')",
        "IMAGENET_CLASSNAMES = [",
        "IMAGENET_CLASSNAMES = " + "[" * 500,
        "x = '\0'",
    ],
)
def test_anything_else_is_refused_and_not_run(source: str) -> None:
    with pytest.raises(BundleError, match="IMAGENET_CLASSNAMES"):
        read_class_names(source, 2)
