"""How it runs: the command, the supervisor of `make run`, and the embedded servers."""
