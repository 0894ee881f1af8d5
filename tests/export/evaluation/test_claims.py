import pytest

from gpt4roi_export.evaluation import claims


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("region1 is a heron.", "heron"),
        ("It is an apple, which is a fruit.", "apple"),
        ("A pair of jeans.", "jeans"),
        ("region2 is a pair of scissors.", "scissors"),
        ("I am not sure, it may be a great grey owl.", "great gray owl"),
        ("It is a St. Bernard. It is large.", "st bernard"),
        ("I am not sure.", ""),
        ("region1 is corn.", "corn"),
        ("It is a wire-haired terrier", "wire haired terrier"),
        ("", ""),
    ],
)
def test_names(answer: str, expected: str) -> None:
    assert claims.name(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("region1 is a heron and region2 is a red apple.", {1: "heron", 2: "red apple"}),
        ("region3 is a map, region1 is a saxophone and region4 may be jeans.", {3: "map", 1: "saxophone", 4: "jeans"}),
        ("region1 is a storage chest. region1 is bigger.", {1: "storage chest"}),
        ("Both are apples, but region1 is red and region2 is green.", {1: "red", 2: "green"}),
        ("region1 is a cup and saucer and region2 is a spoon.", {1: "cup and saucer", 2: "spoon"}),
        ("A heron and an apple.", {}),
    ],
)
def test_names_by_region(answer: str, expected: dict[int, str]) -> None:
    assert claims.names(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("Yes, it is.", True), ("yes", True), ("No, it is a dog.", False), ("Not quite, both are birds.", False),
     ("I am not sure.", None), ("Not sure.", None), ("Nobody knows", None), ("It is a dog.", None)],
)  # fmt: skip
def test_yes_or_no(answer: str, expected: bool | None) -> None:
    assert claims.yes_or_no(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("region1 is to the left of region2.", (1, "left", 2)),
        ("No, region2 is to the right of region1.", (1, "left", 2)),
        ("region1 is below region3.", (3, "above", 1)),
        ("region1 is above region3.", (1, "above", 3)),
        ("region2 is further down.", (2, "down")),
        ("region2 is higher up.", (2, "up")),
        ("region2 is lower.", (2, "down")),
        ("They touch.", None),
    ],
)
def test_sides(answer: str, expected: object) -> None:
    assert claims.side(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("region2 is bigger.", 2),
        ("No, region1 is smaller.", 2),
        ("Yes, region1 is larger.", 1),
        ("They are about the same size.", "same"),
        ("region1 is a dog.", None),
    ],
)
def test_bigger(answer: str, expected: int | str | None) -> None:
    assert claims.bigger(answer, frozenset({1, 2})) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("Two: region1 and region3.", 2), ("None.", 0), ("No dogs.", 0), ("There are 3 dogs.", 3), ("Some.", None)],
)
def test_counts(answer: str, expected: int | None) -> None:
    assert claims.count(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("It is in the top left of the picture.", {"top", "left"}),
        ("In the upper right corner", {"top", "right"}),
        ("in the middle", {"center"}),
        ("On the left, in the center.", {"left"}),
        ("nowhere", set()),
    ],
)
def test_places(answer: str, expected: set[str]) -> None:
    assert claims.place(answer) == expected


def test_colors_and_sizes() -> None:
    assert claims.colors("Mostly grey, with some Red.") == {"gray", "red"}
    assert claims.colors("bored") == frozenset()
    assert claims.size("It is medium-sized.") == "medium"
    assert claims.size("It is huge.") == "large"
    assert claims.size("It is a small dog.") == "small"
    assert claims.size("It is.") is None


def test_a_color_before_a_name_is_taken_off() -> None:
    assert claims.without_color("red apple") == ("apple", "red")
    assert claims.without_color("orange") == ("orange", None)
    assert claims.without_color("wooden spoon") == ("wooden spoon", None)
