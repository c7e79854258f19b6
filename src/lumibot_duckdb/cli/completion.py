"""`lumibot-duckdb completion`: the completion script for a shell."""

from __future__ import annotations

import argparse

_DESCRIPTION = """\
Print the script that lets a shell complete commands, options, files, and the symbols and sources in the store.
"""
_EXAMPLES = """\
examples:
  echo 'eval "$(lumibot-duckdb completion bash)"' >> ~/.bashrc
  echo 'eval "$(lumibot-duckdb completion zsh)"' >> ~/.zshrc     (after the line that runs compinit)
  lumibot-duckdb completion fish > ~/.config/fish/completions/lumibot-duckdb.fish

The completion works in shells that are started afterwards.

exit codes: 0 success; 2 wrong usage.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["lumibot-duckdb"], shell=arguments.shell).strip())
    return 0
