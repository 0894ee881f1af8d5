"""Every answer is recomputed here from the facts, by other means than the writers use."""

import itertools
import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt4roi_export.dialogues.imagine import ImagineSettings, imagine
from gpt4roi_export.dialogues.mixes import COMPARISONS, MATCHES
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.wordings import Phrasings
from gpt4roi_export.dialogues.write import write_dialogues
from gpt4roi_export.embedded_prompt import embedded_prompt
from gpt4roi_export.scene import COLORS, Exchange, RegionFacts, Scene
from gpt4roi_runtime.prompt import check_dialogue, mentions
from tests.export.dialogues.dice import dice

SEEDS = st.integers(0, 1 << 32)
BRACKETS = re.compile(r"<region(\d+)>")
PLAIN = re.compile(r"region(\d+)")
NUMBERS = {"None": 0, "One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}


def _scene(index: NameIndex, seed: int, unsure: float = 0.15) -> Scene:
    rng = dice(seed)
    scene = imagine(index, rng, ImagineSettings(unsure=unsure), f"s{seed}")
    return write_dialogues(scene, rng, rng.choice(list(Phrasings)), index)


@given(seed=SEEDS)
@settings(max_examples=50)
def test_the_runtime_accepts_every_dialogue(index: NameIndex, seed: int) -> None:
    template = embedded_prompt()
    scene = _scene(index, seed)
    assert scene.dialogues
    for dialogue in scene.dialogues:
        questions: list[str] = []
        for exchange in dialogue:
            questions.append(exchange.question)
            shown = mentions("\n".join(questions))
            assert all(1 <= number <= len(scene.regions) for number in shown)
            check_dialogue(questions, shown, (*template.reserved, *template.stop))
            assert exchange.answer == exchange.answer.strip()
            assert exchange.answer.endswith((".", "?"))
            assert not any(token in exchange.question + exchange.answer for token in template.reserved)
            assert "<" not in exchange.answer
            assert "{" not in exchange.question + exchange.answer
            assert "is None" not in exchange.answer
            assert "  " not in exchange.question + exchange.answer


@given(seed=SEEDS)
@settings(max_examples=50)
def test_a_region_without_a_box_is_only_spoken_of_as_missing(index: NameIndex, seed: int) -> None:
    scene = _scene(index, seed)
    for dialogue in scene.dialogues:
        shown: set[int] = set()
        for exchange in dialogue:
            boxed = set(map(int, BRACKETS.findall(exchange.question)))
            plain = set(map(int, PLAIN.findall(BRACKETS.sub("", exchange.question))))
            answered = set(map(int, PLAIN.findall(exchange.answer)))
            if exchange.task == "missing":
                (absent,) = plain
                assert absent > len(scene.regions)
                assert exchange.answer.startswith(f"There is no region{absent};")
                assert answered - {absent} == shown
            else:
                assert plain <= shown
                assert answered <= shown | boxed
            shown |= boxed


@given(seed=SEEDS)
@settings(max_examples=50)
def test_what_is_not_sure_is_never_stated(index: NameIndex, seed: int) -> None:
    scene = _scene(index, seed, unsure=1.0)
    tasks = set()
    for exchange in (exchange for dialogue in scene.dialogues for exchange in dialogue):
        tasks.add(exchange.task)
        if any(f" {region.name}" in exchange.answer for region in scene.regions):
            assert re.search(r"may be|a little like", exchange.answer), exchange
    assert not tasks & {"name", "describe", "kind", "why", "compare", "same", "count"} - {"why"}


@given(seed=SEEDS)
@settings(max_examples=50)
def test_without_doubt_nothing_is_called_unsure(index: NameIndex, seed: int) -> None:
    for dialogue in _scene(index, seed, unsure=0.0).dialogues:
        assert not any("may be" in exchange.answer or exchange.task == "unsure" for exchange in dialogue)


def _center(region: RegionFacts) -> tuple[float, float]:
    x1, y1, x2, y2 = region.box
    return (x1 + x2) / 2, (y1 + y2) / 2


def _area(region: RegionFacts) -> float:
    x1, y1, x2, y2 = region.box
    return (x2 - x1) * (y2 - y1)


def _check_relation(scene: Scene, exchange: Exchange) -> None:
    found = re.fullmatch(r"(?:(Yes|No), )?region(\d) is (?:to the )?(\w+)(?: of)? region(\d)\.", exchange.answer)
    if found is None:
        return
    (x1, y1), (x2, y2) = (_center(scene.regions[int(number) - 1]) for number in (found[2], found[4]))
    assert {"left": x1 < x2, "right": x1 > x2, "above": y1 < y2, "below": y1 > y2}[found[3]]
    if found[1]:
        asked = re.search(r"left of|right of|above|below", exchange.question.lower())
        assert asked is not None
        assert (found[1] == "Yes") == (asked[0].split()[0] == found[3])


def _check_further(scene: Scene, exchange: Exchange, shown: set[int]) -> None:
    found = re.fullmatch(r"region(\d) is (further left|further right|higher up|further down)\.", exchange.answer)
    if found is None:
        return
    (other,) = shown - {int(found[1])}
    (x1, y1), (x2, y2) = _center(scene.regions[int(found[1]) - 1]), _center(scene.regions[other - 1])
    right = {"further left": x1 < x2, "further right": x1 > x2, "higher up": y1 < y2, "further down": y1 > y2}
    assert right[found[2]]


def _check_bigger(scene: Scene, exchange: Exchange, shown: set[int]) -> None:
    asked = set(map(int, PLAIN.findall(exchange.question))) or shown
    first, second = (_area(scene.regions[number - 1]) for number in sorted(asked))
    if "same size" in exchange.answer:
        assert max(first, second) / min(first, second) < 1.2
        return
    found = re.fullmatch(r"(?:(Yes|No), )?region(\d) is (bigger|smaller)\.", exchange.answer)
    assert found is not None, exchange
    area = _area(scene.regions[int(found[2]) - 1])
    other = first + second - area
    assert area > 1.5 * other if found[3] == "bigger" else area < other / 1.5
    wanted = "smaller" if re.search(r"smaller|less room", exchange.question.lower()) else "bigger"
    assert (found[3] == wanted) == (found[1] != "No")


def _check_color(scene: Scene, exchange: Exchange) -> None:
    asked = PLAIN.findall(exchange.question)
    if asked and exchange.task == "color":
        assert exchange.answer.endswith(f" is {scene.regions[int(asked[0]) - 1].color}.")


def _check_count(scene: Scene, exchange: Exchange) -> None:
    word, _, rest = exchange.answer.rstrip(".").partition(": ")
    hits = {int(number) for number in PLAIN.findall(rest)}
    assert NUMBERS[word] == len(hits)
    asked = {int(number) for number in PLAIN.findall(exchange.question)}
    assert hits <= asked
    names = {scene.regions[number - 1].name for number in hits}
    kinds = {scene.regions[number - 1].kind for number in hits}
    assert len(names) <= 1 or len(kinds) == 1
    others = {scene.regions[number - 1].name for number in asked - hits}
    assert not names & others


def _check_both(scene: Scene, exchange: Exchange) -> None:
    for number, sure, what in re.findall(r"region(\d) (is|may be) (.+?)(?=, region| and region|\.$)", exchange.answer):
        region = scene.regions[int(number) - 1]
        assert (sure == "is") == region.sure
        assert region.name is not None
        assert what.endswith(region.name)


def _check_name(scene: Scene, exchange: Exchange) -> None:
    asked = PLAIN.findall(exchange.question)
    if asked:
        assert exchange.answer.endswith(f"{scene.regions[int(asked[0]) - 1].name}.")


def _check_position(scene: Scene, exchange: Exchange) -> None:
    asked = PLAIN.findall(exchange.question)
    if not asked:
        return
    x, y = _center(scene.regions[int(asked[0]) - 1])
    width, height = scene.size
    for word, true in {
        "left": x < width / 3,
        "right": x > width * 2 / 3,
        "top": y < height / 3,
        "bottom": y > height * 2 / 3,
    }.items():
        assert (word in exchange.answer) == true


def _check_size(scene: Scene, exchange: Exchange) -> None:
    asked = PLAIN.findall(exchange.question)
    if asked:
        share = _area(scene.regions[int(asked[0]) - 1]) / (scene.size[0] * scene.size[1])
        low, high = {"small": (0, 0.05), "medium-sized": (0.08, 0.15), "large": (0.2, 1)}[
            exchange.answer[:-1].split()[-1]
        ]
        assert low <= share <= high


def _check_choose(scene: Scene, exchange: Exchange) -> None:
    asked = {int(number) for number in PLAIN.findall(exchange.question)}
    chosen = {int(number) for number in PLAIN.findall(exchange.answer)}
    assert chosen <= asked
    assert chosen or exchange.answer == "None of them."
    color = next((color for color in COLORS if re.search(rf"\b{color}\b(?! \w)", exchange.question.lower())), None)
    if re.search(r"largest|biggest", exchange.question.lower()):
        (number,) = chosen
        assert number == max(asked, key=lambda each: _area(scene.regions[each - 1]))
    elif re.search(r"smallest", exchange.question.lower()):
        (number,) = chosen
        assert number == min(asked, key=lambda each: _area(scene.regions[each - 1]))
    elif color is not None and re.search(rf"(?:is|color|looks|mostly) {color}\b", exchange.question.lower()):
        assert chosen == {number for number in asked if scene.regions[number - 1].color == color}


def _check_compare(scene: Scene, exchange: Exchange) -> None:
    asked = [int(number) for number in PLAIN.findall(exchange.question)]
    first, second = (scene.regions[number - 1] for number in asked)
    assert first.sure
    assert second.sure
    assert exchange.answer.startswith("Both are ") == (first.name == second.name)
    if first.name != second.name:
        assert f"{first.name} and region{asked[1]}" in exchange.answer
        assert f"{second.name}." in exchange.answer


def _check_same(scene: Scene, exchange: Exchange) -> None:
    first, second = (scene.regions[int(number) - 1] for number in PLAIN.findall(exchange.question))
    assert exchange.answer.startswith("Yes") == (first.name == second.name)
    if exchange.answer.startswith("Not quite"):
        assert first.kind == second.kind


def _check_why(scene: Scene, exchange: Exchange) -> None:
    asked = PLAIN.findall(exchange.question)
    if asked and exchange.answer.startswith("Because"):
        color = scene.regions[int(asked[0]) - 1].color
        assert ("most of it is" in exchange.answer) == (color is not None)
        assert color is None or f"most of it is {color}" in exchange.answer


@given(seed=SEEDS)
@settings(max_examples=50)
def test_every_answer_follows_from_the_facts(index: NameIndex, seed: int) -> None:
    scene = _scene(index, seed)
    checks = {
        "relation": _check_relation, "color": _check_color, "count": _check_count, "both": _check_both,
        "name": _check_name, "position": _check_position, "size": _check_size, "choose": _check_choose,
        "compare": _check_compare, "same": _check_same, "why": _check_why,
    }  # fmt: skip
    for dialogue in scene.dialogues:
        shown: set[int] = set()
        for exchange in dialogue:
            if exchange.task in checks:
                checks[exchange.task](scene, exchange)
            if exchange.task == "relation":
                _check_further(scene, exchange, shown)
            if exchange.task == "bigger":
                _check_bigger(scene, exchange, shown)
            shown |= set(map(int, BRACKETS.findall(exchange.question)))


@given(seed=SEEDS)
@settings(max_examples=50)
def test_yes_and_no_are_right_about_names(index: NameIndex, seed: int) -> None:
    for dialogue in (scene := _scene(index, seed, unsure=0.0)).dialogues:
        for exchange in dialogue:
            asked = PLAIN.findall(exchange.question)
            if exchange.task != "yesno" or not asked:
                continue
            region = scene.regions[int(asked[0]) - 1]
            if (
                region.name is not None
                and exchange.answer.endswith(f" {region.name}.")
                and re.search(rf"\b{re.escape(region.name)}\b", exchange.question, re.IGNORECASE)
            ):
                assert exchange.answer.startswith("Yes"), exchange


def test_every_task_occurs_and_both_answers_to_yes_no_questions(index: NameIndex) -> None:
    tasks: Counter[str] = Counter()
    begins: dict[str, Counter[str]] = defaultdict(Counter)
    n_turns: Counter[int] = Counter()
    for seed in range(120):
        for dialogue in _scene(index, seed).dialogues:
            n_turns[len(dialogue)] += 1
            for exchange in dialogue:
                tasks[exchange.task] += 1
                begins[exchange.task][exchange.answer.split()[0].strip(",.:")] += 1
    assert set(tasks) == {
        "name", "describe", "color", "position", "size", "kind", "yesno", "why", "unsure", "sure", "relation",
        "bigger", "compare", "both", "same", "count", "choose", "missing", "image", "beyond", "talk",
    }  # fmt: skip
    assert max(n_turns) > 1
    for task in ("yesno", "relation", "bigger", "kind"):
        assert begins[task]["Yes"] > 0.15 * (begins[task]["Yes"] + begins[task]["No"]), task
        assert begins[task]["No"] > 0.15 * (begins[task]["Yes"] + begins[task]["No"]), task
    assert {"None", "One", "Two"} <= set(begins["count"])


@pytest.mark.parametrize("phrasings", Phrasings)
def test_a_scene_of_boxes_alone_gets_only_questions_about_boxes(index: NameIndex, phrasings: Phrasings) -> None:
    scene = Scene("bare", (100, 100), (RegionFacts((0, 0, 30, 30)), RegionFacts((60, 0, 90, 30))))
    tasks = Counter(
        exchange.task
        for seed in range(40)
        for dialogue in write_dialogues(scene, dice(seed), phrasings, index).dialogues
        for exchange in dialogue
    )
    assert set(tasks) <= {
        "position",
        "size",
        "yesno",
        "relation",
        "bigger",
        "choose",
        "missing",
        "image",
        "beyond",
        "talk",
    }
    assert {"position", "relation", "bigger"} <= set(tasks)


def test_a_scene_without_regions_gets_no_question_about_one(index: NameIndex) -> None:
    written = write_dialogues(Scene("empty", (10, 10), ()), dice(1), Phrasings.TRAIN, index)
    assert {exchange.task for dialogue in written.dialogues for exchange in dialogue} <= {"missing", "image", "talk"}


def test_comparisons_alone_are_of_nothing_else(index: NameIndex) -> None:
    tasks: Counter[str] = Counter()
    for seed in range(30):
        scene = imagine(index, dice(seed), COMPARISONS.scenes, f"s{seed}")
        assert len(scene.regions) > 1
        written = write_dialogues(scene, dice(seed), Phrasings.TRAIN, index, mix=COMPARISONS)
        tasks.update(exchange.task for dialogue in written.dialogues for exchange in dialogue)
    assert set(tasks) == {"relation", "bigger", "choose"}


def test_matches_are_often_there_and_often_not(index: NameIndex) -> None:
    begins: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(200):
        scene = imagine(index, dice(seed), MATCHES.scenes, f"s{seed}")
        written = write_dialogues(scene, dice(seed), Phrasings.TRAIN, index, mix=MATCHES)
        for exchange in itertools.chain.from_iterable(written.dialogues):
            begins[exchange.task][re.split(r"\W", exchange.answer)[0]] += 1
    assert set(begins) == {"same", "count", "choose", "yesno", "position", "kind", "why"}
    same = begins["same"]
    assert 0.25 < same["Yes"] / same.total() < 0.6
    counts = begins["count"]
    assert counts["None"] / counts.total() < 0.4
    assert (counts["Two"] + counts["Three"]) / counts.total() > 0.2


def test_the_same_seed_writes_the_same(index: NameIndex) -> None:
    assert _scene(index, 5) == _scene(index, 5)
    assert _scene(index, 5) != _scene(index, 6)
