"""`gpt4roi bench`: speed, memory and energy of a bundle on this machine; `bench compare` holds two results together."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from gpt4roi_runtime.backends.llama_cpp_settings import (
    ALL_LAYERS,
    CACHE_TYPES,
    MAX_BATCH_SIZE,
    MAX_GPU_LAYERS,
    MAX_THREADS,
    FlashAttention,
    LlamaCppSettings,
)
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.bench.compare import compare, read_result
from gpt4roi_runtime.bench.comparison_layouts import LAYOUTS as COMPARISON_LAYOUTS
from gpt4roi_runtime.bench.comparison_layouts import Layout as ComparisonLayout
from gpt4roi_runtime.bench.comparison_layouts import as_text
from gpt4roi_runtime.bench.layouts import LAYOUTS, Layout, Writer, writer_of
from gpt4roi_runtime.bench.matrix import LoadChoices, language_tests, numbers, pair, words
from gpt4roi_runtime.bench.measure import Kind
from gpt4roi_runtime.bench.power import find_meter
from gpt4roi_runtime.bench.rows import Row
from gpt4roi_runtime.bench.run import KINDS, Note, Plan, run
from gpt4roi_runtime.bench.vision import read_photo
from gpt4roi_runtime.cli.console import bundle_option, plain, print_note, reports_errors
from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.storage import written_aside

F = TypeVar("F", bound=Callable[..., Any])

_SAMPLE = Path(__file__).parents[1] / "samples" / "coffee.jpg"
_LAYOUT_OF_SUFFIX: dict[str, Layout] = {f".{layout}": layout for layout in LAYOUTS}
_DEFAULTS = LlamaCppSettings()
_MAX_REPETITIONS = 10_000
_FUSED: dict[str, FlashAttention] = {"on": "on", "1": "on", "off": "off", "0": "off", "auto": "auto", "-1": "auto"}


@dataclass(frozen=True)
class _Typed:
    """What the user typed, each option as often as it was given."""

    bundle: Path
    n_prompt: tuple[str, ...]
    n_gen: tuple[str, ...]
    pairs: tuple[str, ...]
    n_depth: tuple[str, ...]
    n_batch: tuple[str, ...]
    n_ubatch: tuple[str, ...]
    type_k: tuple[str, ...]
    type_v: tuple[str, ...]
    n_threads: tuple[str, ...]
    n_gpu_layers: tuple[str, ...]
    flash_attn: tuple[str, ...]
    rows: tuple[str, ...]
    n_regions: tuple[str, ...]
    n_sequences: tuple[str, ...]
    image: Path
    context: int | None
    repetitions: int
    no_warmup: bool
    layout: Layout | None
    out: Path | None
    progress: bool

    def plan(self) -> Plan:
        """All of it checked.

        Raises:
            InputError: Something cannot be used.
        """
        kinds = self._kinds()
        return Plan(
            bundle=self.bundle,
            kinds=kinds,
            loads=self._choices().combinations(),
            tests=language_tests(
                numbers("-p", self.n_prompt),
                numbers("-n", self.n_gen),
                [pair("-pg", text) for text in self.pairs],
                numbers("-d", self.n_depth),
            ),
            photo=None if kinds == ("language",) else read_photo(self.image),
            n_regions=numbers("--regions", self.n_regions, lowest=1),
            n_sequences=numbers("--sequences", self.n_sequences, lowest=1),
            context_length=self.context,
            n_repetitions=self.repetitions,
            warm_up=not self.no_warmup,
        )

    def _kinds(self) -> tuple[Kind, ...]:
        if "all" in self.rows:
            return KINDS
        wanted = words("--rows", self.rows, KINDS)
        return tuple(kind for kind in KINDS if kind in wanted)

    def _choices(self) -> LoadChoices:
        fused = words("-fa", self.flash_attn, tuple(_FUSED))
        return LoadChoices(
            n_gpu_layers=numbers("-ngl", self.n_gpu_layers, lowest=ALL_LAYERS, highest=MAX_GPU_LAYERS),
            n_batch=numbers("-b", self.n_batch, lowest=1, highest=MAX_BATCH_SIZE),
            n_ubatch=numbers("-ub", self.n_ubatch, lowest=1, highest=MAX_BATCH_SIZE),
            type_k=words("-ctk", self.type_k, CACHE_TYPES),
            type_v=words("-ctv", self.type_v, CACHE_TYPES),
            flash_attention=tuple(dict.fromkeys(_FUSED[word] for word in fused)),
            n_threads=numbers("-t", self.n_threads, lowest=1, highest=MAX_THREADS),
        )

    def written_as(self) -> Layout:
        """The layout asked for, or the one the file's name speaks of."""
        if self.layout is not None:
            return self.layout
        return "md" if self.out is None else _LAYOUT_OF_SUFFIX.get(self.out.suffix.lower(), "json")


def _listed(name: str, *flags: str, default: object, what: str) -> Callable[[F], F]:
    """An option that takes a list, and may be given several times."""
    return click.option(
        *flags, name, multiple=True, default=[str(default)], show_default=True, metavar="LIST", help=what
    )


@click.group(
    "bench",
    invoke_without_command=True,
    epilog="LIST is numbers or words with commas between, or first-last+step, or first-last*factor; all combinations"
    " are measured. Example: gpt4roi bench -p 256 -n 64 -t 1-4*2 -o json --out result.json",
)
@bundle_option
@_listed("n_prompt", "-p", "--n-prompt", default=256, what="Rows of a prompt; 0 for none.")
@_listed("n_gen", "-n", "--n-gen", default=128, what="Tokens to decode; 0 for none.")
@click.option("-pg", "pairs", multiple=True, metavar="PP,TG", help="A prompt and tokens behind it.")
@_listed("n_depth", "-d", "--n-depth", default=0, what="Rows in the KV cache before.")
@_listed("n_batch", "-b", "--batch-size", default=_DEFAULTS.batch_size, what="Most rows in a call.")
@_listed("n_ubatch", "-ub", "--ubatch-size", default=_DEFAULTS.batch_size, what="Most rows computed at once.")
@_listed("type_k", "-ctk", "--cache-type-k", default="f16", what=f"Type of keys: {', '.join(CACHE_TYPES)}.")
@_listed("type_v", "-ctv", "--cache-type-v", default="f16", what="Type of values; but for floats, with -fa on.")
@_listed("n_threads", "-t", "--threads", default=usable_cores(), what="Threads of both engines.")
@_listed("n_gpu_layers", "-ngl", "--n-gpu-layers", default=0, what="Layers for a GPU; -1 for all.")
@_listed("flash_attn", "-fa", "--flash-attn", default="auto", what="Fused attention: on, off or auto.")
@click.option("-r", "--repetitions", type=click.IntRange(1, _MAX_REPETITIONS), default=5, show_default=True)
@click.option("--no-warmup", is_flag=True, help="Count the first repetition too.")
@click.option(
    "--rows", multiple=True, default=["all"], show_default=True, help="language, vision, pipeline (a list), or all."
)
@_listed("n_regions", "--regions", default="1,4,16", what="Boxes in a call of the region graph.")
@_listed("n_sequences", "--sequences", default="1,2,4,8,16", what="Answers side by side.")
@click.option("--image", type=click.Path(path_type=Path), default=_SAMPLE, help="Photo; default: a sample.")
@click.option("--context", type=int, help="Rows of the KV cache; default: what the tests need.")
@click.option("-o", "--output", "layout", type=click.Choice(LAYOUTS), help="Form of the result; default: md.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the result to a file, and show the table.")
@click.option("--progress", is_flag=True, help="Say on standard error what is done.")
@click.pass_context
@reports_errors
def command(context: click.Context, /, **typed: Any) -> None:
    """Measure speed, memory and energy of a bundle (without --bundle, the embedded one), as llama-bench does."""
    if context.invoked_subcommand is None:
        _bench(_Typed(**typed))


def _bench(typed: _Typed) -> None:
    plan = typed.plan()
    if not plan.tests and plan.kinds == ("language",):
        raise SettingsError("there is nothing to measure", "Give -p, -n or -pg more than 0, or other --rows.")
    meter = find_meter()
    shown = (*_varied(typed), *(["tokens_per_joule"] if meter is not None else []))
    screen = _Screen(writer_of("md" if typed.out is not None else typed.written_as(), shown))
    done: list[Row] = []
    try:
        with closing(run(plan, meter, _say if typed.progress else _be_quiet)) as found:
            for one in found:
                if isinstance(one, Note):
                    print_note(one.text)
                    continue
                done.append(one)
                screen.show(one)
    finally:  # what was measured is worth keeping, whatever ended it
        screen.end()
        if typed.out is not None and done:
            with written_aside(typed.out) as file:
                file.write("".join(_text(typed.written_as(), shown, done)).encode())


class _Screen:
    """Standard output, where rows appear as they come, and nothing before there is one."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._begun = False

    def show(self, row: Row) -> None:
        """One more row."""
        if not self._begun:
            click.echo(plain(self._writer.begin()), nl=False)
        self._begun = True
        click.echo(plain(self._writer.row(row)), nl=False)

    def end(self) -> None:
        """No more will come."""
        if self._begun:
            click.echo(plain(self._writer.end()), nl=False)


def _text(layout: Layout, shown: tuple[str, ...], rows: list[Row]) -> Iterator[str]:
    writer = writer_of(layout, shown)
    yield writer.begin()
    yield from map(writer.row, rows)
    yield writer.end()


def _varied(typed: _Typed) -> tuple[str, ...]:
    """Settings that have several values, or another than the default: the table has a column for them."""
    own = {"n_batch": _DEFAULTS.batch_size, "n_ubatch": _DEFAULTS.batch_size, "type_k": "f16", "type_v": "f16"}
    own |= {"n_gpu_layers": 0, "flash_attn": "auto"}
    return tuple(name for name, default in own.items() if getattr(typed, name) != (str(default),))


def _say(step: str) -> None:
    click.echo(f"gpt4roi bench: {plain(step)}", err=True)


def _be_quiet(_step: str) -> None:
    """Where nobody asked for progress."""


@command.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--ignore", multiple=True, metavar="SETTING", help="A setting that may differ, such as n_threads.")
@click.option("-o", "--output", "layout", type=click.Choice(COMPARISON_LAYOUTS), default="md", show_default=True)
@reports_errors
def compare_command(a: Path, b: Path, ignore: tuple[str, ...], layout: ComparisonLayout) -> None:
    """Print how fast result B is over result A, with an interval of 95 %; JSON of ours, or of llama-bench."""
    found = compare(read_result(a), read_result(b), ignore)
    click.echo(plain(as_text(found, layout)), nl=False)
