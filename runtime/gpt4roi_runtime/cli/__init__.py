"""The command line: parses, calls the pipeline, prints. Knows no engine."""

import importlib

import click

_COMMANDS = {
    "app": "Draw boxes and ask about them, in a window.",
    "ask": "Ask a question about boxes on a photo.",
    "bench": "Measure speed, memory and energy of a bundle.",
    "caption": "Ask one question about many boxes on a photo.",
    "chat": "Talk about a photo, several questions in a row.",
    "doctor": "Show machine and engines, and what to mend.",
    "info": "Show what is in a bundle.",
    "plan": "Predict the memory a bundle takes on a device.",
    "propose": "Find boxes on a photo that may be worth a question.",
    "verify": "Check a bundle against its manifest.",
}


class _LateCommands(click.Group):
    """Imports a command's module when it is called: the first token must not wait for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"gpt4roi_runtime.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LateCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gpt4roi-edge", prog_name="gpt4roi")
def gpt4roi() -> None:
    """Ask a vision-language model about boxes on an image, offline."""
