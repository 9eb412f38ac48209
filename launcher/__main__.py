"""`python -m launcher run | reset`, from the project's folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from launcher.errors import CannotStartError
from launcher.reset import reset
from launcher.run import run

COMMANDS = {"run": run, "reset": reset}


def main() -> int:
    parser = argparse.ArgumentParser(prog="launcher", description=__doc__)
    parser.add_argument("command", choices=COMMANDS, help="run everything, or drop its data")
    command = parser.parse_args().command
    try:
        return COMMANDS[command](Path.cwd())
    except CannotStartError as error:
        sys.stdout.flush()
        sys.stderr.write(f"kibanda: {error}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
