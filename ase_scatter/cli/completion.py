"""The command `completion`: what a shell completes after `ase-scatter`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from .arguments import new_command

EXAMPLES = """examples:
  ase-scatter completion bash        in ~/.bashrc: eval "$(ase-scatter completion bash)"
  ase-scatter completion zsh         in ~/.zshrc, after compinit: eval "$(ase-scatter completion zsh)"
  ase-scatter completion fish        into ~/.config/fish/completions/ase-scatter.fish

Commands, options, words that an option takes, shipped models and files are completed.
"""

BASH = """_ase_scatter() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}} $previous" in
{choices}
    esac
    if [ -z "$words" ]; then
        case "$current" in
        -*)
            case "${{COMP_WORDS[1]}}" in
{options}
            esac
            ;;
        *)
            [ "$COMP_CWORD" -gt 2 ] || words="{models}"
            COMPREPLY=($(compgen -f -- "$current") $(compgen -W "$words" -- "$current"))
            return
            ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F _ase_scatter ase-scatter
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def run_completion(options: argparse.Namespace) -> int:
    """Run the command `completion`.

    Parameters
    ----------
    options : argparse.Namespace
        What `add_completion` defines.

    Returns
    -------
    int
        The exit code.
    """
    print(completion_script(options.commands, options.shell), end="")
    return 0


def completion_script(found: Mapping[str, argparse.ArgumentParser], shell: str) -> str:
    """Write what a shell needs to complete a command line.

    Parameters
    ----------
    found : mapping of str to argparse.ArgumentParser
        The commands.
    shell : {"bash", "zsh", "fish"}
        The shell.

    Returns
    -------
    str
        The script.
    """
    from ..model.model_file import shipped_models

    models = " ".join(shipped_models())
    if shell == "fish":
        return "\n".join(_fish(found, models)) + "\n"
    choices = [
        f'    "{name} {word}") words="{" ".join(map(str, action.choices))}" ;;'
        for name, command in found.items()
        for action in command._actions
        for word in action.option_strings
        if action.choices is not None
    ]
    options = [
        f'            {name}) words="{" ".join(word for word, _ in _words(command))}" ;;'
        for name, command in found.items()
    ]
    script = BASH.format(
        commands=" ".join(found), choices="\n".join(choices), options="\n".join(options), models=models
    )
    return (ZSH if shell == "zsh" else "") + script


def _words(command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Long options of a command."""
    for action in command._actions:
        for word in action.option_strings:
            if word.startswith("--"):
                yield word, action


def _fish(found: Mapping[str, argparse.ArgumentParser], models: str) -> Iterator[str]:
    """Lines of the script for fish."""
    begin = "complete -c ase-scatter"
    for name, command in found.items():
        yield f"{begin} -n __fish_use_subcommand -f -a {name} -d '{_quoted(command.description)}'"
        here = f"{begin} -n '__fish_seen_subcommand_from {name}'"
        for word, action in _words(command):
            takes = f" -x -a '{' '.join(map(str, action.choices))}'" if action.choices is not None else ""
            takes = takes or ("" if action.nargs == 0 else " -r")
            yield f"{here} -l {word[2:]}{takes} -d '{_quoted(action.help)}'"
        if any(action.dest == "model" for action in command._actions):
            yield f"{here} -a '{models}'"


def _quoted(text: str | None) -> str:
    """The first sentence, without what fish would read as the end of it."""
    return (text or "").split(" (")[0].replace("'", "’")


def add_completion(commands: Any) -> None:
    """Add the command `completion`.

    Parameters
    ----------
    commands : argparse subparsers
        What it is added to.
    """
    text = "print what a shell needs to complete commands, options and models"
    command = new_command(commands, "completion", run_completion, text, EXAMPLES)
    command.set_defaults(commands=commands.choices)
    command.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")
