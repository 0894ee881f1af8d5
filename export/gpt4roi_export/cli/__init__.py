"""The command ``gpt4roi-export``; knows only how to ask and how to report.

What needs torch is imported inside the commands that need it.
"""

import sys

import click

from gpt4roi_export.cli.bundle import detector, embedded, skeletons
from gpt4roi_export.cli.engines import engines
from gpt4roi_export.cli.importing import import_, parity, quantize, synthesize
from gpt4roi_export.cli.tuning import compare, detected, dialogues, evaluate, pictures, scenes, tune, unnamed
from gpt4roi_runtime.cli.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, print_error
from gpt4roi_runtime.errors import Gpt4RoiError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Make the folders that gpt4roi runs."""


for _command in (
    *(embedded, import_, parity, quantize, synthesize),
    *(pictures, scenes, unnamed, detected, dialogues, tune, evaluate, compare),
    *(engines, skeletons, detector),
):
    commands.add_command(_command)


def main() -> None:
    """Run the command line; errors are two lines and exit 2, never a traceback."""
    try:
        commands.main(standalone_mode=False)
    except Gpt4RoiError as refused:
        print_error(refused)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as misused:
        misused.show()
        sys.exit(EXIT_BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
