"""`python -m services.command` is the `sharehouse` command."""

from __future__ import annotations

from services.command.main import main

if __name__ == "__main__":
    main()
