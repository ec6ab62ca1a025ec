"""The command line: `xlvla`, and `python -m xlvla` where no script is on the path, as for
torchrun.
"""

import sys


def main() -> None:
    """Runs the command. Ctrl-C while its libraries are still loaded ends it without a traceback,
    too.
    """
    try:
        from xlvla_cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
