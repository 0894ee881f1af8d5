"""Starts the command line so that Ctrl-C is heard from the first import on; knows no command."""

import sys
from io import TextIOWrapper

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run `gpt4roi` with this process's arguments, and exit."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.stderr.write("\ncancelled\n")
        sys.exit(EXIT_INTERRUPTED)


def _run() -> int:
    """Exit status; click would turn an interruption into one of its own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a letter that the terminal does not have must not end an answer
            stream.reconfigure(errors="replace")
    import click

    from gpt4roi_runtime.cli import gpt4roi

    try:
        status = gpt4roi.main(standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    main()
