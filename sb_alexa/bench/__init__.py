"""The benchmarks of `sb-alexa bench`: modules with `add_arguments(parser)` and `run(args)`."""
