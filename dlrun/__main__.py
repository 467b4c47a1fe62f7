"""``python -m dlrun``: the same as the command ``dlrun``."""

from dlrun.cli import main

if __name__ == "__main__":
    main()
