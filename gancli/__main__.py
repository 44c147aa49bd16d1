"""The command ``gancli``, also as ``python -m gancli``."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; Ctrl-C during the imports ends it quietly, too."""
    try:
        from gancli.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
