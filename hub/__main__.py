"""The entry point of `python -m hub`, which runs the `hub` command."""

from hub.cli import main

if __name__ == "__main__":
    main()
