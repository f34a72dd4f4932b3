"""`python -m ecellm`: the command without its installed script."""

from ecellm.cli import main

main()
