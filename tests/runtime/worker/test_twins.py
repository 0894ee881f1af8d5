"""Pipeline and WorkerPipeline have one face: what the one learns, the other must."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt4roi_runtime.image_store import ImageStore
from gpt4roi_runtime.pipeline import EncodedImage, Pipeline
from gpt4roi_runtime.worker import messages as m
from gpt4roi_runtime.worker.client import WorkerImage, WorkerPipeline
from tests.runtime.worker.fake_child import pipeline_of

ENGINES = {"encoder", "decoder"}
"""What cannot be had across a pipe."""
FEATURES = {"features"}
OF_A_PROCESS_ALONE = {"open": {"images_bytes", "command"}}

METHODS = [
    name for name, _ in inspect.getmembers(Pipeline, callable) if not name.startswith("_") and name in vars(Pipeline)
]


def test_there_are_methods_to_look_at() -> None:
    assert {"open", "propose", "encode", "prepare", "ask", "choose", "ask_each", "close"} <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_and_gives_the_same(name: str) -> None:
    near = inspect.signature(getattr(Pipeline, name))
    far = inspect.signature(getattr(WorkerPipeline, name))
    more = OF_A_PROCESS_ALONE.get(name, set())
    assert all(far.parameters[one].kind is inspect.Parameter.KEYWORD_ONLY for one in more)
    assert all(far.parameters[one].default is not inspect.Parameter.empty for one in more)
    shared = [one for one in far.parameters.values() if one.name not in more]
    assert [_known(one) for one in shared] == [_known(one) for one in near.parameters.values()]
    assert _far(near.return_annotation) == str(far.return_annotation)


def _known(parameter: inspect.Parameter) -> tuple[object, ...]:
    """Name, kind, default and type; but ``cancel``, which is a function here and may be None there."""
    if parameter.name == "cancel":
        return parameter.name, parameter.kind
    return parameter.name, parameter.kind, parameter.default, _far(parameter.annotation)


def _far(annotation: object) -> str:
    """A type as the worker has it."""
    near = str(annotation).replace("gpt4roi_runtime.asking.EncodedImage", "gpt4roi_runtime.worker.client.WorkerImage")
    return "WorkerPipeline" if near == "Pipeline" else near


@pytest.fixture
def here(folder: Path) -> Iterator[Pipeline]:
    with pipeline_of(folder) as pipeline:
        yield pipeline


def test_attributes_are_there_too(here: Pipeline, lasting: WorkerPipeline) -> None:
    public = {name for name in vars(here) if not name.startswith("_")}
    assert public - ENGINES == {"bundle", "load_s", "notes", "settings", "store"}
    assert public - ENGINES <= set(dir(lasting))


def test_images_are_alike() -> None:
    assert set(EncodedImage.__dataclass_fields__) - FEATURES <= set(WorkerImage.__dataclass_fields__)


def test_messages_carry_what_the_calls_take() -> None:
    """A parameter that a call has and its message lacks would be lost on the way."""
    ways = {"ask": m.Ask, "choose": m.Choose, "ask_each": m.AskEach, "propose": m.Propose, "prepare": m.Prepare}
    for name, message in ways.items():
        wanted = set(inspect.signature(getattr(Pipeline, name)).parameters) - {"self", "cancel"}
        carried = set(message.__struct_fields__) - {"id", "width_px", "height_px"}
        assert wanted - {"image"} == carried - {"image"}, name
    assert set(m.StoreFolder.__struct_fields__) | {"on_note"} == set(inspect.signature(ImageStore).parameters)
