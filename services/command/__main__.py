"""The `sharehouse` command: `python -m services.command` is the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point. Ctrl-C ends it quietly also while the command's own modules are still being loaded."""
    try:
        from services.command.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
