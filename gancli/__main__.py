"""``python -m gancli`` is ``gancli``."""

from __future__ import annotations

from gancli.cli.app import main

main()
