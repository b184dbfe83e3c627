"""The `sfumato` command and `python -m sfumato`: an interrupt is told in one line from here on."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C counts already while it is being loaded."""
    try:
        from sfumato.app.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("sfumato: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
