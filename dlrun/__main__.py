"""The program, as ``dlrun`` and as ``python -m dlrun``.

Until :func:`dlrun.cli.main` handles signals, a Ctrl-C ends it without a word: the traceback of an import helps nobody.
What comes before this module, while the interpreter itself starts, is out of reach.
"""

# Built in; the module around it imports for longer than all that comes before.
import _signal as signal  # type: ignore[import-not-found]

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where the shell has it ignored
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from dlrun.cli import main

if __name__ == "__main__":
    main()
