"""The command's entry point: `agentic …` and `python -m agentic …`."""

import gc
import signal


def main() -> None:
    """Run the command line."""
    gc.disable()  # or all that is imported is looked through again and again; the loop enables it
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until a command runs there is nothing to bring to an end, and no traceback to show.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from agentic.cli.app import app

    app(prog_name="agentic")


if __name__ == "__main__":
    main()
