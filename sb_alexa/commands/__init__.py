"""The commands of `sb-alexa`: modules with `add_arguments(parser)` and `run(args) -> exit code`."""
