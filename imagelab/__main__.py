"""``python -m imagelab`` is the ``imagelab`` command."""

from .cli.entry import main

if __name__ == "__main__":
    main()
