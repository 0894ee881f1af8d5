"""`gpt4roi plan`: will a bundle fit a device's memory? Exit status 1 where it will not."""

import sys
from pathlib import Path
from typing import Any

import click

from gpt4roi_runtime.backends.llama_cpp_memory import KvType
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.cli.console import bundle_argument, plain, reports_errors
from gpt4roi_runtime.planning.demand import Usage, read_bundle_facts
from gpt4roi_runtime.planning.devices import DEVICES, find_device
from gpt4roi_runtime.planning.pools import Pool
from gpt4roi_runtime.planning.proposals import Proposal
from gpt4roi_runtime.planning.verdict import Plan, plan

EXIT_TOO_LITTLE_MEMORY = 1
_DEFAULT_CONTEXT = 2048


@click.command("plan", epilog="Example: gpt4roi plan ./gpt4roi-7b --device orin-nano-8gb --ctx 1024 --kv q8_0")
@bundle_argument
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help=f"{', '.join(device.name for device in DEVICES)}, cpu (this machine), or cpu:16gb.",
)
@click.option("--ctx", type=int, help="Rows of prompt and answer; default: 2048, or the model's own if that is less.")
@click.option("--regions", type=int, default=16, show_default=True, help="Boxes in one call.")
@click.option("--sequences", type=int, default=1, show_default=True, help="Answers written side by side.")
@click.option("--kv", type=click.Choice(["f16", "q8_0"]), default="f16", show_default=True, help="Type of the cache.")
@click.option("--json", "as_json", is_flag=True, help="Print every number as one JSON object.")
@reports_errors
def command(
    bundle: Path, device: str, ctx: int | None, regions: int, sequences: int, kv: KvType, *, as_json: bool
) -> None:
    """Predict the memory BUNDLE takes on a device (without it, the embedded one), from its files' headers."""
    where = find_device(device)
    facts = read_bundle_facts(open_bundle(bundle))
    context_length = min(_DEFAULT_CONTEXT, facts.context_limit) if ctx is None else ctx
    found = plan(facts, where, Usage(context_length, regions, sequences, kv))
    if as_json:
        click.echo(_as_json(found, facts.bundle.id, facts.bundle.manifest.name))
    else:
        _print(found, facts.bundle.manifest.name)
    if not found.fits:
        sys.exit(EXIT_TOO_LITTLE_MEMORY)


def _print(found: Plan, name: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    usage, device = found.usage, found.device
    console.print(
        f"[bold]{escape(plain(name))}[/bold] on {device.name}: context {usage.context_length}, "
        f"{usage.n_regions} regions, {usage.n_sequences} sequences, KV {usage.kv_type}"
    )
    table = Table("part", "MiB", *(["where"] if device.separate else []), "how it is found", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for part in found.parts:
        where = [part.place] if device.separate else []
        table.add_row(part.name, _mib(part.size_bytes), *where, part.how)
    console.print(table)
    for pool in found.pools:
        console.print(_pool(pool))
    console.print(_kept_table(found))
    console.print(f"[dim]{device.source}[/dim]")
    for note in found.notes:
        console.print(f"[yellow]note:[/yellow] {note}")
    verdict = "[green bold]yes[/green bold], it fits" if found.fits else "[red bold]no[/red bold], it does not fit"
    console.print(verdict)
    if not found.fits:
        console.print("What would help:")
        console.print(_proposals_table((*found.proposals, *([found.together] if found.together else []))))


def _kept_table(found: Plan) -> Any:
    from rich.table import Table

    table = Table("kept images, beside that", "MiB each", "images", "MiB at most", "where", "how it is found")
    table.box, table.pad_edge = None, False
    for column in table.columns[1:4]:
        column.justify = "right"
    for one in found.kept:
        each = f"{one.image_bytes / 2**20:,.1f}"
        table.add_row(one.name, each, f"{one.n_images:,}", _mib(one.most_bytes), one.place, one.how)
    return table


def _proposals_table(proposals: tuple[Proposal, ...]) -> Any:
    from rich.table import Table

    table = Table("change", "needs MiB", "left MiB", "fits", "", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    for proposal in proposals:
        judged = [pool for pool in proposal.pools if pool.headroom_bytes is not None]
        needs = " + ".join(_mib(pool.needed_bytes) for pool in judged)
        left = " + ".join(_mib(pool.headroom_bytes or 0) for pool in judged)
        mark = "[green]yes[/green]" if proposal.fits else "[yellow]no[/yellow]"
        table.add_row(proposal.what, needs, left, mark, proposal.note)
    return table


def _pool(pool: Pool) -> str:
    needed = f"{pool.name}: {_mib(pool.needed_bytes)} MiB needed"
    if pool.free_bytes is None or pool.headroom_bytes is None:
        return f"{needed}; not checked"
    left = pool.headroom_bytes
    words = f"{_mib(left)} MiB left" if left >= 0 else f"{_mib(-left)} MiB too little"
    return f"{needed} of {_mib(pool.free_bytes)} MiB free: {words}"


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f}"


def _as_json(found: Plan, bundle_id: str, name: str) -> str:
    import msgspec

    account = {
        "fits": found.fits,
        "bundle": {"id": bundle_id, "name": name},
        "device": {**msgspec.to_builtins(found.device), "free_bytes": found.device.free_bytes},
        "usage": found.usage,
        "parts": found.parts,
        "memory": _pools(found.pools),
        "proposals": [_proposal(proposal) for proposal in found.proposals],
        "together": None if found.together is None else _proposal(found.together),
        "kept_images": [
            {**msgspec.to_builtins(one), "n_images": one.n_images, "most_bytes": one.most_bytes} for one in found.kept
        ],
        "notes": found.notes,
    }
    return msgspec.json.format(msgspec.json.encode(account), indent=2).decode()


def _pools(pools: tuple[Pool, ...]) -> list[dict[str, Any]]:
    return [
        {
            "name": pool.name,
            "free_bytes": pool.free_bytes,
            "needed_bytes": pool.needed_bytes,
            "headroom_bytes": pool.headroom_bytes,
        }
        for pool in pools
    ]


def _proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "what": proposal.what,
        "fits": proposal.fits,
        "usage": proposal.usage,
        "memory": _pools(proposal.pools),
        "note": proposal.note,
    }
