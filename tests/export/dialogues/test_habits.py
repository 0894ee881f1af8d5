from gpt4roi_export.dialogues.habits import as_typed
from tests.export.dialogues.dice import dice


def test_some_people_type_carelessly_and_regions_survive() -> None:
    question = "What's the color of <region1>, compared to region2?"
    typed = {as_typed(question, dice(seed)) for seed in range(300)}
    assert question in typed
    assert all("<region1>" in text and "region2" in text for text in typed)
    assert any(text.startswith("what") for text in typed)
    assert any("colour" in text for text in typed)
    assert any(text.startswith("Whats") for text in typed)
    assert any(not text.endswith("?") for text in typed)
    assert not any("regions" in text for text in typed)


def test_a_question_that_is_only_a_region_stays_one() -> None:
    assert {as_typed("<region1>?", dice(seed)) for seed in range(100)} == {"<region1>?", "<region1>"}
