"""Where the program begins: before anything is imported that takes time, so that a Ctrl-C at once is one line, too."""

import sys


def main() -> None:
    """The console command."""
    try:
        from procs.cli.main import main as command
    except KeyboardInterrupt:
        print("ringsim: interrupted", file=sys.stderr)
        if "--json" in sys.argv[1:]:
            print('{"error":"interrupted","exit_code":130}')
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
