from pathlib import Path

from gpt4roi_export.evaluation.model_card import CardFacts, Source, model_card, write_model_card
from gpt4roi_export.evaluation.report import VERSION, Calibration, Report, Score

REPORT = Report(
    version=VERSION,
    bundle_name="tiny",
    bundle_id="abc",
    seed=3,
    n_per_task=200,
    seconds=1.0,
    scores=(Score("s", "name", 10, 7, 0.4, 0.89, 0.6), Score("s", "why", 10, 0, 0.0, 0.28)),
    calibrations=(Calibration("s", 8, 6, 2, 1),),
    controls=(Score("s", "blank", 10, 1, 0.02, 0.4),),
    records=(),
)
FACTS = CardFacts(
    summary="It is small.",
    sources=(Source("pictures | cut-outs", "Debian tuxpaint", "GPL-2.0"),),
    seeds={"questions": 3},
    commands=("make it",),
    limits=("See in the dark.",),
)


def test_a_card_says_what_was_measured_and_of_what_it_is_made() -> None:
    card = model_card(REPORT, FACTS)
    assert card.startswith("# tiny\n\nIt is small.\n")
    assert "| s | name | 10 | 70.0 % | 40.0 to 89.0 | 60.0 % | yes |" in card
    assert "| s | why | 10 | 0.0 % | 0.0 to 28.0 |  |  |" in card
    assert "| s | the name | 8 | 75.0 % |" in card
    assert "| s | I am not sure | 2 | 50.0 % |" in card
    assert "| s | blank | names are right, although every region has the same rows | 10 | 10.0 % |" in card
    assert "| pictures \\| cut-outs | Debian tuxpaint | GPL-2.0 |" in card
    assert "questions 3." in card
    assert "```\nmake it\n```" in card
    assert "- See in the dark." in card
    assert "Wrong answers" not in card


def test_sheets_below_the_card_are_linked(tmp_path: Path) -> None:
    write_model_card(tmp_path / "CARD.md", REPORT, FACTS, [tmp_path / "gallery" / "wrong-1.png", Path("/else/2.png")])
    card = (tmp_path / "CARD.md").read_text()
    assert "![wrong answers](gallery/wrong-1.png)" in card
    assert "2.png" not in card


def test_parts_without_numbers_are_left_out() -> None:
    bare = Report(VERSION, "tiny", "abc", 3, 200, 1.0, (), (), (), ())
    card = model_card(bare, FACTS)
    assert "spoiled" not in card
    assert "certainty" not in card
