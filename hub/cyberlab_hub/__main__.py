"""`python -m cyberlab_hub`: the operator's command."""

from cyberlab_hub.cli import main

main()
