"""`python -m ecellm.cli`: the command without its installed script."""

from ecellm.cli import main

main()
