"""The story of ``gpt4roi-export evaluate``: open a bundle, measure it, leave a report and sheets of wrong answers."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from gpt4roi_export.dialogues.names import index_names
from gpt4roi_export.evaluation.asking import Progress
from gpt4roi_export.evaluation.embedded_card import EMBEDDED
from gpt4roi_export.evaluation.evaluate import EvaluationSettings, evaluate
from gpt4roi_export.evaluation.gallery import write_gallery
from gpt4roi_export.evaluation.model_card import write_model_card
from gpt4roi_export.evaluation.report import write_report
from gpt4roi_export.evaluation.suites import read_real_photos, read_suite
from gpt4roi_export.evaluation.tables import calibration_table, control_table, score_table
from gpt4roi_export.vocabulary import read_accepted, read_vocabulary
from gpt4roi_runtime.errors import OutputError
from gpt4roi_runtime.pipeline import Pipeline

REPORT, GALLERY = "report.json", "wrong"


def measure(
    bundle: Path,
    folders: Sequence[Path],
    out: Path,
    *,
    n_per_task: int,
    controls: bool,
    card: Path | None,
    progress: Progress,
) -> tuple[Table, ...]:
    """Measure a bundle on composed scenes and on the photos labelled by hand.

    Args:
        bundle: Folder.
        folders: Of composed scenes.
        out: Folder for the results; made if missing.
        n_per_task: Questions for each task of each suite.
        controls: Whether regions are spoiled, too.
        card: Where to write the embedded model's card, if anywhere.
        progress: Told how far it is.

    Returns:
        Scores, controls and calibration, to print.

    Raises:
        Gpt4RoiError: The bundle or a suite cannot be used, or the results cannot be written.
    """
    suites = [*(read_suite(folder) for folder in folders), read_real_photos()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise OutputError(f"cannot make the folder {out}: {failed}", "Choose another one.") from failed
    index = index_names(read_vocabulary(), read_accepted())
    with Pipeline.open(bundle) as pipeline:
        report = evaluate(pipeline, suites, index, EvaluationSettings(n_per_task, controls=controls), progress)
    write_report(out / REPORT, report)
    sheets = write_gallery(report.records, out / GALLERY)
    if card is not None:
        write_model_card(card, report, EMBEDDED, sheets)
    return (score_table(report), control_table(report), calibration_table(report))
