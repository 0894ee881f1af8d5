"""The story with a process that stands for the engine; test_rtx_plans.py has the engine itself."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpt4roi_export.engines import building
from gpt4roi_export.engines.building import BuiltPlan, PlannedPlan, build_plan, planned_plans
from gpt4roi_export.engines.plan_graph import PlanGraphFiles, plan_tensors
from gpt4roi_export.engines.plugin_library import PluginLibrary
from gpt4roi_export.engines.targets import Target
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.plans import PlanProfile, WantedPlan, checked_content, find_plan
from gpt4roi_runtime.errors import BundleError, EngineError, OutputError
from tests.helpers.tiny_bundle import write_tiny_bundle

CHILD = """
import sys
from pathlib import Path
import msgspec
from gpt4roi_export.engines.build_job import BuildJob, Built, Logged, Progressed, Refused, line_of
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.plans import write_plan
job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BuildJob)
say = lambda said: print(line_of(said), end="", flush=True)
say(Progressed("timing", 0.5))
{middle}
write_plan(open_bundle(Path(job.bundle)), job.key, memoryview(b"a plan of " + job.key.graph.encode()),
           inputs=job.inputs, outputs=job.outputs, tools=job.tools, folder=Path(job.folder))
say(Built(1.5))
"""
DIES = "Path(job.folder, job.key.bundle_id, f'.{job.key.name}.plan.0.part').write_bytes(b'half'); import os; os.abort()"

Child = Callable[[str], Callable[[str], Sequence[str]]]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(write_tiny_bundle(tmp_path / "bundle"))


@pytest.fixture
def plugin(tmp_path: Path) -> PluginLibrary:
    return PluginLibrary(tmp_path / "plugin.so", "1.1", "0" * 64)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    def command(middle: str = "") -> Callable[[str], Sequence[str]]:
        script = tmp_path / "child.py"
        script.write_text(CHILD.format(middle=middle))
        return lambda module: (sys.executable, str(script))

    return command


@pytest.fixture(autouse=True)
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny bundle's graphs align nothing."""

    def write(bundle: Bundle, graph: str, precision: str, folder: Path, progress: object) -> PlanGraphFiles:
        (folder / "graph.onnx").write_bytes(b"graph")
        tensors = plan_tensors(bundle, "regions" if graph == "regions" else "encode", "fp16")
        return PlanGraphFiles(folder / "graph.onnx", *tensors, has_plugin=graph == "regions")

    monkeypatch.setattr(building, "write_plan_graph", write)
    monkeypatch.setattr(building, "converted", lambda *_: None)
    monkeypatch.setattr(building, "weight_bytes", lambda _: 10)


def nothing(doing: str, done: float) -> None:
    pass


def planned(bundle: Bundle, plugin: PluginLibrary, folder: Path) -> tuple[PlannedPlan, ...]:
    return planned_plans(bundle, Target("tensorrt_rtx", (89,)), "1.7.1.116", plugin, "fp16", folder, nothing)


def test_two_plans_are_wanted(bundle: Bundle, plugin: PluginLibrary, tmp_path: Path) -> None:
    encode, regions = planned(bundle, plugin, tmp_path / "plans")
    assert (encode.key.graph, encode.key.profile, encode.key.plugin_version) == ("encode", None, "")
    assert regions.key.profile == PlanProfile(1, 16, bundle.manifest.vision.max_regions)
    assert (regions.key.graph, regions.key.plugin_version, regions.is_there) == ("regions", "1.1", False)
    assert not (tmp_path / "plans").exists()


def test_a_built_plan_is_found_and_kept(bundle: Bundle, plugin: PluginLibrary, child: Child, tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    said: list[tuple[str, float]] = []
    for one in planned(bundle, plugin, folder):
        built = build_plan(bundle, one, plugin, folder, lambda *what: said.append(what), command=child(""))
        assert built.seconds == 1.5
    assert ("regions plan: timing", 0.5) in said
    plan = find_plan(bundle, WantedPlan("regions", "tensorrt_rtx", "1.7.1.116", 89), folder)
    assert checked_content(plan) == b"a plan of regions"
    assert plan.record.tools["plugin library"] == plugin.sha256
    assert {path.suffix for path in plan.path.parent.iterdir()} == {".plan", ".json"}
    again = planned(bundle, plugin, folder)
    assert [one.is_there for one in again] == [True, True]
    kept = build_plan(bundle, again[1], plugin, folder, nothing, command=child(DIES))
    assert kept == BuiltPlan(again[1], None, len(b"a plan of regions"))
    forced = build_plan(bundle, again[1], plugin, folder, nothing, force=True, command=child(""))
    assert forced.seconds == 1.5


def test_a_killed_build_leaves_nothing(bundle: Bundle, plugin: PluginLibrary, child: Child, tmp_path: Path) -> None:
    one = planned(bundle, plugin, tmp_path / "plans")[0]
    with pytest.raises(EngineError, match="ended with status -6"):
        build_plan(bundle, one, plugin, tmp_path / "plans", nothing, command=child(DIES))
    assert list(one.path.parent.iterdir()) == []


def test_what_an_earlier_kill_left_goes(bundle: Bundle, plugin: PluginLibrary, child: Child, tmp_path: Path) -> None:
    one = planned(bundle, plugin, tmp_path / "plans")[0]
    (one.path.parent / f".{one.key.name}.x.work").mkdir(parents=True)
    (one.path.parent / f".{one.key.name}.plan.y.part").write_bytes(b"half")
    build_plan(bundle, one, plugin, tmp_path / "plans", nothing, command=child(""))
    assert len(list(one.path.parent.iterdir())) == 2


def test_the_engines_words_are_the_error(bundle: Bundle, plugin: PluginLibrary, child: Child, tmp_path: Path) -> None:
    middle = "say(Logged('error', 'no such kernel')); say(Refused('could not build', 'Report.')); sys.exit(1)"
    one = planned(bundle, plugin, tmp_path / "plans")[0]
    with pytest.raises(EngineError, match="could not build; no such kernel") as refused:
        build_plan(bundle, one, plugin, tmp_path / "plans", nothing, command=child(middle))
    assert refused.value.advice == "Report."


def test_warnings_and_foreign_lines_do_no_harm(
    bundle: Bundle, plugin: PluginLibrary, child: Child, tmp_path: Path
) -> None:
    middle = "print('{}'); print('gpt4roi:{'); say(Logged('warning', 'slow')); say(Logged('warning', 'slow'))"
    one = planned(bundle, plugin, tmp_path / "plans")[0]
    built = build_plan(bundle, one, plugin, tmp_path / "plans", nothing, command=child(middle))
    assert built.warnings == ("slow",)


@pytest.mark.parametrize(("capabilities", "is_enough"), [((89,), True), ((86, 89), False)])
def test_room_is_wanted_for_every_gpu(
    bundle: Bundle,
    plugin: PluginLibrary,
    child: Child,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capabilities: tuple[int, ...],
    *,
    is_enough: bool,
) -> None:
    monkeypatch.setattr(building, "weight_bytes", lambda _: 100 << 20)
    free = SimpleNamespace(free=350 << 20)
    monkeypatch.setattr(building.shutil, "disk_usage", lambda _: free)
    target = Target("tensorrt_rtx", capabilities)
    one = planned_plans(bundle, target, "1.7.1.116", plugin, "fp16", tmp_path / "plans", nothing)[0]
    with nullcontext() if is_enough else pytest.raises(OutputError, match=r"needed \(GPUs: 2\)"):
        build_plan(bundle, one, plugin, tmp_path / "plans", nothing, command=child(""))


def test_a_changed_bundle_is_not_built_from(bundle: Bundle, plugin: PluginLibrary, tmp_path: Path) -> None:
    path = bundle.path_of(bundle.manifest.vision.encode)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleError, match="the manifest says"):
        planned(bundle, plugin, tmp_path / "plans")
