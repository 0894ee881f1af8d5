import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.plans import (
    MAX_RECORD_BYTES,
    Plan,
    PlanKey,
    PlanProfile,
    PlanTensor,
    WantedPlan,
    checked_content,
    find_plan,
    kept_plan,
    this_system,
    write_plan,
)
from gpt4roi_runtime.errors import Cancelled, OutputError, PlanError
from tests.helpers.bundles import write_fake_bundle

CONTENT = bytes(range(256)) * 5
BOXES = PlanTensor("boxes", (None, 4), "float32")
LEVEL = PlanTensor("pyramid_0", (1, 64, 8, 8), "float16", "channels_last")
ROWS = PlanTensor("region_embeddings", (None, 1, 5), "float32")
WANTED = WantedPlan("regions", "tensorrt_rtx", "1.7.1.116", 89, plugin_version="1.1")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(write_fake_bundle(tmp_path / "a bundle"))


@pytest.fixture
def key(bundle: Bundle) -> PlanKey:
    return PlanKey(
        bundle.id,
        "regions",
        "tensorrt_rtx",
        "1.7.1.116",
        (86, 89),
        "fp16",
        this_system(),
        "1.1",
        PlanProfile(1, 16, 100),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "plans"


@pytest.fixture
def plan(bundle: Bundle, key: PlanKey, folder: Path) -> Plan:
    return write(bundle, key, folder)


def write(bundle: Bundle, key: PlanKey, folder: Path, content: bytes = CONTENT) -> Plan:
    tensors = {"inputs": (LEVEL, BOXES), "outputs": (ROWS,)}
    return write_plan(bundle, key, memoryview(content), tools={"onnx": "1"}, folder=folder, **tensors)


def test_what_was_written_is_found_whole(bundle: Bundle, plan: Plan, key: PlanKey, folder: Path) -> None:
    assert find_plan(bundle, WANTED, folder) == plan == kept_plan(bundle, key, folder)
    assert checked_content(plan) == CONTENT
    assert plan.record.inputs == (LEVEL, BOXES)
    assert plan.path.parent == folder / bundle.id
    assert {path.suffix for path in plan.path.parent.iterdir()} == {".plan", ".json"}


def test_nothing_of_it_is_in_the_bundle(bundle: Bundle, plan: Plan) -> None:
    assert not plan.path.is_relative_to(bundle.folder)
    assert open_bundle(bundle.folder).id == bundle.id


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "GPU": ({"compute_capability": 120}, "GPU sm_86, sm_89, not sm_120"),
    "version": ({"engine_version": "1.8.0"}, "version 1.7.1.116, not 1.8.0"),
    "engine": ({"engine": "tensorrt"}, "engine tensorrt_rtx, not tensorrt"),
    "plugin": ({"plugin_version": "1.2"}, "plugin 1.1, not 1.2"),
    "precision": ({"precision": "fp32"}, "precision fp16, not fp32"),
    "system": ({"system": "linux-riscv"}, "not linux-riscv"),
}


@pytest.mark.parametrize(("change", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_plan_is_refused_by_what_differs(
    bundle: Bundle, plan: Plan, folder: Path, change: dict[str, Any], said: str
) -> None:
    wanted = WantedPlan(**{**{name: getattr(WANTED, name) for name in WantedPlan.__dataclass_fields__}, **change})
    with pytest.raises(PlanError) as refused:
        find_plan(bundle, wanted, folder)
    assert said in refused.value.problem
    assert refused.value.advice.startswith(f"gpt4roi-export engines '{bundle.folder}' --engine tensorrt")
    assert f"--target sm_{wanted.compute_capability}" in refused.value.advice


def test_a_plan_of_fewer_regions_is_refused(bundle: Bundle, key: PlanKey, folder: Path) -> None:
    write(bundle, msgspec.structs.replace(key, profile=PlanProfile(1, 4, 8)), folder)
    with pytest.raises(PlanError, match="at most 8 regions, not 100"):
        find_plan(bundle, WANTED, folder)
    assert find_plan(bundle, WantedPlan("regions", "tensorrt_rtx", "1.7.1.116", 89, max_regions=8), folder)


def test_the_nearest_of_many_is_named(bundle: Bundle, plan: Plan, key: PlanKey, folder: Path) -> None:
    write(
        bundle, msgspec.structs.replace(key, engine_version="9", compute_capabilities=(75,), precision="fp32"), folder
    )
    with pytest.raises(PlanError, match=r"is of GPU sm_86, sm_89, not sm_120\n"):
        find_plan(bundle, WantedPlan("regions", "tensorrt_rtx", "1.7.1.116", 120), folder)


def test_without_any_the_command_is_said(bundle: Bundle, folder: Path) -> None:
    with pytest.raises(PlanError, match="no plan of the regions graph for sm_89"):
        find_plan(bundle, WANTED, folder)


def test_another_bundles_plan_is_none_of_this_one(tmp_path: Path, plan: Plan, folder: Path) -> None:
    other = open_bundle(write_fake_bundle(tmp_path / "other", summary="Another."))
    with pytest.raises(PlanError, match="no plan of the regions graph"):
        find_plan(other, WANTED, folder)


def test_the_plan_for_fewest_gpus_is_taken(bundle: Bundle, plan: Plan, key: PlanKey, folder: Path) -> None:
    own = write(bundle, msgspec.structs.replace(key, compute_capabilities=(89,)), folder)
    assert find_plan(bundle, WANTED, folder) == own


@pytest.mark.parametrize(
    "change",
    [
        {"engine_version": "1.7"},
        {"compute_capabilities": (89,)},
        {"precision": "fp32"},
        {"graph": "encode"},
        {"plugin_version": "2.1"},
        {"profile": None},
        {"bundle_id": "0" * 16},
        {"system": "linux-aarch64"},
        {"engine": "tensorrt"},
    ],
    ids=str,
)
def test_every_part_of_the_key_makes_another_name(
    bundle: Bundle, plan: Plan, key: PlanKey, folder: Path, change: dict[str, Any]
) -> None:
    other = msgspec.structs.replace(key, **change)
    assert other.name != key.name
    assert kept_plan(bundle, other, folder) is None


def test_a_changed_plan_reaches_no_engine(bundle: Bundle, plan: Plan, key: PlanKey, folder: Path) -> None:
    plan.path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(PlanError, match="SHA-256"):
        checked_content(plan)
    plan.path.write_bytes(CONTENT[:-1])
    with pytest.raises(PlanError, match="1,279 bytes; its record says 1,280"):
        checked_content(plan)
    assert kept_plan(bundle, key, folder) is None


def test_a_link_in_a_plans_place_is_refused(plan: Plan, tmp_path: Path) -> None:
    target = plan.path.rename(tmp_path / "elsewhere")
    plan.path.symlink_to(target)
    with pytest.raises(PlanError, match="not a regular file"):
        checked_content(plan)


def test_reading_can_be_stopped(plan: Plan) -> None:
    with pytest.raises(Cancelled):
        checked_content(plan, lambda: True)


def _no_change(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree).encode()


HOSTILE: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "no JSON": lambda tree: b"{",
    "not UTF-8": lambda tree: b'{"format": "\xff"}',
    "deep": lambda tree: b"[" * 60_000,
    "too large": lambda tree: _no_change(tree) + b" " * MAX_RECORD_BYTES,
    "an unknown field": lambda tree: _no_change({**tree, "path": "/etc/passwd"}),
    "another version": lambda tree: _no_change({**tree, "version": 2}),
    "a path for a version": lambda tree: _no_change({**tree, "key": {**tree["key"], "engine_version": "../../x"}}),
    "another key": lambda tree: _no_change({**tree, "key": {**tree["key"], "precision": "fp32"}}),
    "a size of nothing": lambda tree: _no_change({**tree, "size_bytes": 0}),
    "a shape without end": lambda tree: _no_change({**tree, "inputs": [{**tree["inputs"][0], "shape": [1] * 99}]}),
}


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_record_is_no_plan(
    bundle: Bundle, plan: Plan, folder: Path, spoil: Callable[[dict[str, Any]], bytes]
) -> None:
    record = plan.path.with_suffix(".json")
    record.write_bytes(spoil(json.loads(record.read_bytes())))
    with pytest.raises(PlanError, match="no plan of the regions graph") as refused:
        find_plan(bundle, WANTED, folder)
    assert record.name in refused.value.problem


def test_a_record_without_its_plan_is_no_plan(bundle: Bundle, plan: Plan, folder: Path) -> None:
    plan.path.unlink()
    with pytest.raises(PlanError, match="is missing"):
        find_plan(bundle, WANTED, folder)


def test_what_cannot_be_read_again_is_not_written(bundle: Bundle, key: PlanKey, folder: Path) -> None:
    with pytest.raises(PlanError, match="cannot be recorded"):
        write(bundle, msgspec.structs.replace(key, engine_version="a/b"), folder)
    assert not folder.exists()


def test_a_plan_is_replaced_whole(bundle: Bundle, plan: Plan, key: PlanKey, folder: Path) -> None:
    write(bundle, key, folder, b"new")
    assert checked_content(find_plan(bundle, WANTED, folder)) == b"new"
    assert len(list(plan.path.parent.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_said(bundle: Bundle, key: PlanKey, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make"):
        write(bundle, key, tmp_path / "file")
