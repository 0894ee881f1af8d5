import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpt4roi_export.dialogues.imagine import ImagineSettings, imagine
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.wordings import Phrasings
from gpt4roi_export.dialogues.write import write_dialogues
from gpt4roi_export.evaluation.scoring import Case, asked_about, is_right
from gpt4roi_export.scene import Exchange, RegionFacts, Scene
from tests.export.dialogues.dice import dice

SCENE = Scene(
    "s",
    (100, 100),
    (
        RegionFacts((0, 0, 40, 40), "heron", "gray", "bird"),
        RegionFacts((60, 60, 100, 100), "apple", "red", "fruit"),
        RegionFacts((60, 0, 90, 30), "apple", "green", "fruit"),
        RegionFacts((0, 50, 40, 90), "trout", None, "fish"),
        RegionFacts((50, 50, 60, 60), "parrot", None, "bird", many_colored=True),
    ),
)
ACCEPTED = (
    frozenset({"heron", "great blue heron"}),
    frozenset({"apple"}),
    frozenset({"apple"}),
    frozenset({"trout"}),
    frozenset({"parrot"}),
)


def _right(task: str, question: str, truth: str, answer: str, numbers: frozenset[int] = frozenset()) -> bool:
    exchange = Exchange(question, truth, task)
    return is_right(Case(exchange, answer, SCENE, ACCEPTED, numbers or asked_about((exchange,))))


RIGHT = [
    ("name", "What is <region1>?", "region1 is a heron.", "It is a heron."),
    ("name", "What is <region1>?", "region1 is a heron.", "A gray heron, I think."),
    ("name", "What is <region1>?", "region1 is a heron.", "region1 is a great blue heron."),
    ("name", "What is <region1>?", "region1 is a heron.", "I am not sure, it may be a heron."),
    ("unsure", "What is <region1>?", "I am not sure, it may be a heron.", "I am not sure, it may be a dog."),
    ("unsure", "What is <region1>?", "I am not sure, it may be a heron.", "It is a heron."),
    ("color", "What color is <region1>?", "region1 is gray.", "Grey."),
    ("position", "Where is <region1>?", "region1 is in the top left of the picture.", "It is in the upper left."),
    ("size", "How big is <region1>?", "region1 is medium-sized.", "Medium."),
    ("yesno", "Is <region1> a dog?", "No, it is a heron.", "No."),
    ("kind", "What is <region1>?", "region1 is a bird.", "It is a bird."),
    ("relation", "Where?", "region1 is to the left of region2.", "region2 is to the right of region1."),
    ("bigger", "Is <region1> bigger than <region2>?", "No, region1 is smaller.", "No, region2 is bigger."),
    ("both", "What are <region1> and <region2>?", "region1 is a heron and region2 is an apple.",
     "region1 is a heron and region2 is a red apple."),
    ("compare", "Compare <region1> and <region2>.", "region1 is a gray heron and region2 is a red apple. They are "
     "about the same size.", "region1 is a heron and region2 is a red apple. They are the same size."),
    ("compare", "Compare <region2> and <region3>.", "Both are apples, but region2 is red and region3 is green.",
     "Both are apples, but region2 is red and region3 is green."),
    ("same", "Same? <region1> <region2>", "Not quite, both are birds: ...", "No, they differ."),
    ("count", "How many of <region2> and <region3> are apples?", "Two: region2 and region3.", "Two."),
    ("choose", "Which of <region1> and <region2> is red?", "region2.", "It is region2."),
    ("choose", "Which of <region1> and <region2> is blue?", "None of them.", "None."),
    ("why", "Why is <region1> a heron?", "Because it has feathers, wings and a beak and most of it is gray.",
     "It has feathers, wings and a beak, and is gray."),
    ("why", "Why is <region1> a dog?", "I do not think that it is a dog: it is a heron.", "I do not think so."),
    ("missing", "What is region7?", "There is no region7; no region is marked.", "There is no region7."),
    ("image", "What do you see?", "Draw a box around a thing and ask about it; I only see what is in the boxes.",
     "Please draw a box first."),
    ("beyond", "How old is <region1>?", "I cannot tell that from the picture.", "I cannot tell."),
    ("describe", "Describe <region1>.", "region1 is a gray heron, a bird. It is large and in the top left.",
     "region1 is a gray heron. It is large and in the top left of the picture."),
    # What the right answer leaves out may be said where someone might say it: region1 covers 16 % of the picture.
    ("describe", "Describe <region1>.", "region1 is a gray heron. It is in the top left.",
     "region1 is a gray heron. It is large and in the top left."),
    ("describe", "Describe <region1>.", "region1 is a gray heron. It is medium-sized.",
     "region1 is a gray heron. It is medium-sized and in the top left."),
    ("compare", "Compare <region1> and <region3>.", "region1 is a gray heron and region3 is a green apple.",
     "region1 is a gray heron and region3 is a green apple. region1 is bigger."),
]  # fmt: skip

WRONG = [
    ("name", "What is <region1>?", "region1 is a heron.", "It is a bird."),
    ("name", "What is <region1>?", "region1 is a heron.", "It is a pond with a heron."),
    ("name", "What is <region1>?", "region1 is a heron.", ""),
    ("name", "What are <region1> and <region2>?", "region1 is a heron.", "It is an apple."),
    ("unsure", "What is <region1>?", "I am not sure, it may be a heron.", "It is a dog."),
    ("color", "What color is <region1>?", "region1 is gray.", "It is gray or red."),
    ("position", "Where is <region1>?", "region1 is in the top left of the picture.", "It is on the left."),
    ("size", "How big is <region1>?", "region1 is small.", "It is a heron."),
    ("yesno", "Is <region1> a dog?", "No, it is a heron.", "Yes, it is a dog."),
    ("yesno", "Is <region1> a dog?", "No, it is a heron.", "I am not sure, it may be a dog."),
    ("relation", "Where?", "region1 is to the left of region2.", "region1 is to the right of region2."),
    ("relation", "Is it?", "No, region1 is above region2.", "Yes, region1 is above region2."),
    ("bigger", "Which? <region1> <region2>", "They are about the same size.", "region1 is bigger."),
    ("both", "What are <region1> and <region2>?", "region1 is a heron and region2 is an apple.",
     "region1 is an apple and region2 is a heron."),
    ("both", "What are <region1> and <region2>?", "region1 is a heron and region2 is an apple.", "A heron."),
    ("compare", "Compare <region1> and <region2>.", "region1 is a gray heron and region2 is a red apple.",
     "region1 is a gray heron and region2 is a green apple."),
    ("compare", "Compare <region1> and <region2>.", "region1 is a gray heron and region2 is a red apple. region1 is "
     "bigger.", "region1 is a gray heron and region2 is a red apple. region2 is bigger."),
    ("compare", "Compare <region2> and <region3>.", "Both are apples, but region2 is red and region3 is green.",
     "Both are apples, but region2 is green and region3 is red."),
    ("count", "How many of <region2> and <region3> are apples?", "Two: region2 and region3.", "Three."),
    ("choose", "Which of <region1> and <region2> is red?", "region2.", "region1 and region2."),
    ("choose", "Which of <region1> and <region2> is blue?", "None of them.", "I like blue."),
    ("why", "Why is <region1> a heron?", "Because it has feathers, wings and a beak and most of it is gray.",
     "Because it has feathers, wings and a beak and most of it is red."),
    ("why", "Why is <region1> a heron?", "Because it has feathers, wings and a beak and most of it is gray.",
     "Because it has fins and the body of a fish and most of it is gray."),
    ("why", "Why is <region1> a dog?", "I do not think that it is a dog: it is a heron.", "Because it has four legs."),
    ("missing", "What is region7?", "There is no region7; no region is marked.", "region7 is a dog."),
    ("beyond", "How old is <region1>?", "I cannot tell that from the picture.", "It is seven."),
    ("image", "What do you see?", "Draw a box around a thing and ask about it.", "A heron on a lake."),
    ("describe", "Describe <region1>.", "region1 is a gray heron, a bird. It is large and in the top left.",
     "region1 is a red heron, a bird. It is large and in the top left."),
    ("describe", "Describe <region1>.", "region1 is a gray heron, a bird. It is large and in the top left.",
     "region1 is a gray heron, a bird. It is large and in the top right."),
    ("describe", "Describe <region1>.", "region1 is a gray heron. It is in the top left.",
     "region1 is a gray heron. It is small and in the top left."),
    ("describe", "Describe <region1>.", "region1 is a gray heron. It is medium-sized.",
     "region1 is a gray heron. It is medium-sized and on the right."),
    ("describe", "Describe <region1>.", "region1 is a gray heron. It is medium-sized.", "region1 is a gray heron."),
    ("compare", "Compare <region1> and <region3>.", "region1 is a gray heron and region3 is a green apple.",
     "region1 is a gray heron and region3 is a green apple. region3 is bigger."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "truth", "answer"),
    [
        ("describe", "{} is a {}.", "{} is a red {}."),
        ("why", "Because it has {}.", "Because it has {} and most of it is red."),
        ("compare", "region1 is a gray heron and {} is a {}.", "region1 is a heron and {} is a red {}."),
    ],
)
def test_a_color_that_nobody_looked_for_is_not_judged_and_one_that_leads_nowhere_is_wrong(
    task: str, truth: str, answer: str
) -> None:
    signs = {"trout": "fins and the body of a fish", "parrot": "feathers, wings and a beak"}
    for number, name, right in ((4, "trout", True), (5, "parrot", False)):
        question = f"Tell me of <region{number}>" + (" and <region1>." if task == "compare" else ".")
        words = (signs[name],) if task == "why" else (f"region{number}", name)
        assert _right(task, question, truth.format(*words), truth.format(*words))
        assert _right(task, question, truth.format(*words), answer.format(*words)) is right


@pytest.mark.parametrize(("task", "question", "truth", "answer"), RIGHT)
def test_right_answers(task: str, question: str, truth: str, answer: str) -> None:
    assert _right(task, question, truth, answer)


@pytest.mark.parametrize(("task", "question", "truth", "answer"), WRONG)
def test_wrong_answers(task: str, question: str, truth: str, answer: str) -> None:
    assert not _right(task, question, truth, answer)


def test_every_kind_of_question_is_tried_both_ways() -> None:
    assert {task for task, *_ in RIGHT} - {"kind", "same"} == {task for task, *_ in WRONG}


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=40)
def test_what_the_writers_call_right_scores_right(index: NameIndex, seed: int) -> None:
    rng = dice(seed)
    scene = imagine(index, rng, ImagineSettings(unsure=0.0), "s")
    accepted = tuple(frozenset({region.name or ""}) for region in scene.regions)
    for dialogue in write_dialogues(scene, rng, Phrasings.HELD_OUT, index).dialogues:
        for turn, exchange in enumerate(dialogue, 1):
            if exchange.task not in ("talk", "sure"):
                assert is_right(Case(exchange, exchange.answer, scene, accepted, asked_about(dialogue[:turn]))), (
                    exchange
                )
