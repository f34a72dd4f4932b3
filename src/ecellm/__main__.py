"""`python -m ecellm`: the command without its installed script."""

from ecellm.cli.main import main

main()
