"""The command's entry point: `agentic …` and `python -m agentic …`."""


def main() -> None:
    """Run the command line."""
    from agentic.cli.app import app

    app(prog_name="agentic")


if __name__ == "__main__":
    main()
