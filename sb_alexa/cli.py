"""The command line `sb-alexa`: finds the command and turns errors into messages and exit codes.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

import sb_alexa

# Name -> what it does. The module sb_alexa.commands.<name> has add_arguments(parser) and run(args).
COMMANDS = {
    "demo": "train a streaming recogniser from scratch on synthetic speech and watch it work",
    "recipe": "train and test a model: a recipe and one of its YAML files",
    "transcribe": "transcribe audio files, a microphone or raw samples, offline or streaming",
    "verify": "say whether two recordings have the same speaker",
    "score": "error rates of speaker verification, overall and by group of speakers",
    "audit": "whom a recogniser serves worse, by group, region or voice, from any transcripts",
    "export": "write one streaming step of a trained model as ONNX",
    "gates": "show what a gated model computes, for a recording or by group of speakers",
    "corpus": "write synthetic speech, or meetings of recordings, in the layout of a real corpus",
    "bench": "measure speed",
}
DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130

_TRACEBACK_VARIABLE = "SB_ALEXA_TRACEBACK"
_DESCRIPTION = "Streaming speech recognition for SpeechBrain."
_EPILOG = """\
example:
  sb-alexa demo                      about 10 minutes on 2 CPU cores
  sb-alexa transcribe results/demo/model talk.wav --stream

`sb-alexa COMMAND --help` explains a command and shows an example.
Exit codes: 0 done, 1 a check failed or a limit was exceeded, 2 bad input, 130 interrupted.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Arguments
    ---------
    argv : sequence of str, optional
        Without the program's name. Default: the command line of this process.

    Returns
    -------
    exit_code : int
        0 done, 1 a check failed or a limit was exceeded, 2 bad input, 130 interrupted.

    Example
    -------
    >>> main(["recipe", "LibriSpeech/ASR", "no_such_model"])
    2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    module = None
    show_traceback = bool(os.environ.get(_TRACEBACK_VARIABLE))
    try:
        name = _command_name(arguments)
        module = importlib.import_module(f"sb_alexa.commands.{name}") if name else None
        parser = _parser(name, module)
        if not arguments:
            parser.print_help(sys.stderr)
            return BAD_INPUT
        args = parser.parse_args(arguments)
        show_traceback = show_traceback or args.traceback
        assert module is not None  # the parser insists on a command
        code = module.run(args)
        # Output that a closed pipe refuses shall fail here, not at the interpreter's exit.
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as interruption:
        _say_interrupted(interruption, module)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has left. A second flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if not _is_known(error):
            raise
        if show_traceback:
            traceback.print_exc()
        _say_error(error, show_traceback)
        return BAD_INPUT


def _command_name(arguments: Sequence[str]) -> str | None:
    """The command among the arguments; only its module has to be loaded."""
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first is None or first in COMMANDS:
        return first
    from sb_alexa.assets import nearest

    close = nearest(first, COMMANDS)
    question = f" Did you mean {close}?" if close else ""
    raise ValueError(f"no command named {first!r}.{question} There are: {', '.join(COMMANDS)}")


def _parser(name: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="sb-alexa", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=style
    )
    parser.add_argument("--version", action="version", version=f"sb-alexa {sb_alexa.__version__}")
    parser.add_argument(
        "--traceback",
        action="store_true",
        help=f"show where an error comes from (also with {_TRACEBACK_VARIABLE}=1)",
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for one, summary in COMMANDS.items():
        command = commands.add_parser(
            one,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=style,
        )
        if one == name and module is not None:
            module.add_arguments(command)
    return parser


def _is_known(error: Exception) -> bool:
    """Whether an error speaks of the input; any other is a defect and keeps its traceback."""
    if isinstance(error, ImportError):
        # Where an extra is missing, this package says how to get it; Python itself gives a name.
        return error.name is None
    # OSError: missing file, no permission, disk full.
    if isinstance(error, (ValueError, OSError)):
        return True
    return type(error).__module__.split(".")[0] in ("sb_alexa", "ruamel", "yaml")


def _say_error(error: Exception, traceback_shown: bool) -> None:
    message = str(error) or type(error).__name__
    print(f"sb-alexa: error: {message}", file=sys.stderr)
    if not traceback_shown:
        print("(`sb-alexa --traceback ...` shows where this comes from)", file=sys.stderr)


def _say_interrupted(interruption: KeyboardInterrupt, module: ModuleType | None) -> None:
    # Training that stopped on request brings its own message.
    hint = str(interruption) or getattr(module, "AFTER_INTERRUPT", "run the same command again")
    print(f"\nsb-alexa: interrupted; {hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
