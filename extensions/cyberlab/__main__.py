"""``python -m cyberlab``: the same as the ``cyberlab`` command."""

from cyberlab.cli import main

if __name__ == "__main__":
    main()
