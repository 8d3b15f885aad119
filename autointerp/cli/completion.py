"""Print a completion script for bash, zsh or fish.

    source <(autointerp completion bash)                  in ~/.bashrc; zsh likewise in ~/.zshrc
    autointerp completion fish > ~/.config/fish/completions/autointerp.fish

Completes verbs, flags and the choices of flags; everything else completes as a file name.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

BASH = """_autointerp() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then words="@VERBS@"; else
    case "${COMP_WORDS[1]} $prev" in
@CHOICES@
      *) if [ "${cur:0:1}" = "-" ]; then case "${COMP_WORDS[1]}" in
@FLAGS@
      esac; fi;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _autointerp autointerp
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag of a verb: its long name, the first sentence of its help, and its choices."""

    name: str
    help: str
    choices: tuple[str, ...]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    flags = all_flags()
    print(fish(flags) if args.shell == "fish" else (ZSH if args.shell == "zsh" else "") + bash(flags), end="")
    return 0


def all_flags() -> dict[str, list[Flag]]:
    """Return every verb with its flags."""
    from autointerp import plugins

    found = {}
    for name in plugins.names("cli"):
        parser = argparse.ArgumentParser(add_help=False)
        plugins.load("cli", name).configure(parser)
        found[name.replace("_", "-")] = [
            Flag(action.option_strings[-1], (action.help or "").split(";")[0], tuple(map(str, action.choices or ())))
            for action in parser._actions
            if action.option_strings
        ]
    return found


def bash(verbs: Mapping[str, list[Flag]]) -> str:
    """Return the script for bash."""
    choices = [
        f'      "{verb} {flag.name}") words="{" ".join(flag.choices)}";;'
        for verb, flags in verbs.items()
        for flag in flags
        if flag.choices
    ]
    words = [f'      {verb}) words="--help {" ".join(flag.name for flag in flags)}";;' for verb, flags in verbs.items()]
    return (
        BASH.replace("@VERBS@", " ".join(verbs))
        .replace("@CHOICES@", "\n".join(choices))
        .replace("@FLAGS@", "\n".join(words))
    )


def fish(verbs: Mapping[str, list[Flag]]) -> str:
    """Return the script for fish."""
    lines = [f"complete -c autointerp -n __fish_use_subcommand -f -a {verb}" for verb in verbs]
    for verb, flags in verbs.items():
        for flag in flags:
            text = flag.help.replace("\\", "").replace("'", "")
            values = f" -xa '{' '.join(flag.choices)}'" if flag.choices else ""
            condition = f"'__fish_seen_subcommand_from {verb}'"
            lines.append(f"complete -c autointerp -n {condition} -l {flag.name.lstrip('-')} -d '{text}'{values}")
    return "\n".join(lines) + "\n"
