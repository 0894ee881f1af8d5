from pathlib import Path

import msgspec

from gpt4roi_export.dialogues.imagine import ImagineSettings
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.training_file import imagined_scenes
from gpt4roi_export.evaluation.probes import DOUBT, FOLLOW_UP, TASKS, build_probes, of_two_things
from gpt4roi_export.evaluation.suites import Suite
from gpt4roi_export.scene import RegionFacts, Scene
from tests.export.evaluation.made import write_suite


def _imagined(index: NameIndex, n: int = 60) -> Suite:
    scenes = tuple(imagined_scenes(index, n, 3, ImagineSettings()))
    return Suite("imagined", Path(), scenes, {})


def test_every_task_gets_its_questions_and_no_two_are_the_same(index: NameIndex) -> None:
    probes = build_probes(_imagined(index), index, seed=1, n_per_task=10)
    by_task = {task: [probe for probe in probes if probe.task == task] for task in (*TASKS, FOLLOW_UP)}
    assert {task: len(of_task) for task, of_task in by_task.items()} == dict.fromkeys(by_task, 10)
    assert len({probe.id for probe in probes}) == len(probes)
    assert all(len(probe.turns) == 1 for probe in probes if probe.task != FOLLOW_UP)
    assert all(len(probe.turns) > 1 for probe in by_task[FOLLOW_UP])
    assert all(probe.turns[0].answer.startswith("Yes") for probe in by_task["confirm a right name"])
    assert all(probe.turns[0].answer.startswith("No") for probe in by_task["reject a wrong name"])
    assert all(probe.turns[0].answer.startswith("I am not sure") for probe in by_task[DOUBT])
    one_turn = [probe for probe in probes if probe.task not in (DOUBT, FOLLOW_UP)]
    assert not any("not sure" in probe.turns[0].answer or "may be" in probe.turns[0].answer for probe in one_turn)
    assert not any(probe.turns[-1].task in ("talk", "sure") for probe in by_task[FOLLOW_UP])


def test_a_region_is_asked_for_its_name_once(index: NameIndex, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s")
    namings = [probe for probe in build_probes(suite, index, 1, 100) if probe.task == "name"]
    assert len(namings) == sum(len(scene.regions) for scene in suite.scenes)


def test_the_seed_decides(index: NameIndex) -> None:
    suite = _imagined(index, 20)
    assert build_probes(suite, index, 1, 5) == build_probes(suite, index, 1, 5)
    assert build_probes(suite, index, 1, 5) != build_probes(suite, index, 2, 5)


def test_more_questions_begin_with_the_same(index: NameIndex) -> None:
    suite = _imagined(index, 20)
    few, more = build_probes(suite, index, 1, 3), build_probes(suite, index, 1, 6)
    assert set(map(_as_text, few)) < set(map(_as_text, more))


def test_few_scenes_give_few_questions_without_end(index: NameIndex, tmp_path: Path) -> None:
    probes = build_probes(write_suite(tmp_path / "s"), index, 1, 100_000)
    assert 0 < sum(probe.task == "position" for probe in probes) < 1000


def test_pairs_that_can_be_swapped(index: NameIndex, tmp_path: Path) -> None:
    probes = build_probes(write_suite(tmp_path / "s"), index, 1, 5)
    pairs = of_two_things(probes)
    assert pairs
    assert {probe.task for probe in pairs} == {"both"}


def test_a_synonym_is_not_asked_about_as_a_wrong_name(index: NameIndex) -> None:
    scene = Scene("a", (100, 100), (RegionFacts((0, 0, 40, 40), "coat", None, "clothing"),))
    clothing = index.of_kind["clothing"]
    suite = Suite("coats", Path(), (scene,), {"a": (frozenset(clothing),)})
    asked = [
        probe.turns[0].question for probe in build_probes(suite, index, 1, 50) if probe.task == "reject a wrong name"
    ]
    assert asked
    assert not any(name in question for question in asked for name in clothing)


def _as_text(probe: object) -> bytes:
    return msgspec.json.encode(probe, enc_hook=str)
