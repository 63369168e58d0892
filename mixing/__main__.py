"""`python -m mixing`: see `mixing.cli`."""

from mixing.cli import main

if __name__ == "__main__":
    main()
