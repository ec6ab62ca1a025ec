"""`python -m xlvla`: the command line where no script is on the path, as for torchrun."""

from xlvla.cli import main

if __name__ == "__main__":
    main()
