"""`gpt4roi verify`: is a bundle what its manifest says? Exit status 1 where it is not."""

import sys
from pathlib import Path

import click

from gpt4roi_runtime.cli.console import bundle_argument, busy, print_error, reports_errors
from gpt4roi_runtime.verification import verify_bundle

EXIT_FAILED = 1


@click.command("verify")
@bundle_argument
@reports_errors
def command(bundle: Path) -> None:
    """Check hashes, shapes, graph contracts and token ids of BUNDLE (without it, the embedded one)."""
    n_failed = 0
    checks = verify_bundle(bundle)
    while True:
        with busy("checking"):
            check = next(checks, None)
        if check is None:
            break
        mark = click.style("ok  ", fg="green") if check.error is None else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{mark} {check.what}")
        if check.error is not None:
            n_failed += 1
            print_error(check.error)
    if n_failed:
        click.echo(f"{bundle}: {n_failed} {'check' if n_failed == 1 else 'checks'} failed")
        sys.exit(EXIT_FAILED)
    click.echo(f"{bundle}: all is as the manifest says")
