import pytest

from gpt4roi_export.class_names import read_class_names
from gpt4roi_export.weights import WeightSources, read_member
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


@pytest.mark.bundle
def test_the_published_list(weight_sources: WeightSources) -> None:
    source = read_member(weight_sources.names, "open_clip/zero_shot_metadata.py", 1 << 20).decode()
    names = read_class_names(source, 1000)
    assert (names[0], names[21], names[281], names[999]) == ("tench", "kite", "tabby cat", "toilet paper")
    assert all(name.isascii() and name.isprintable() and name for name in names)
