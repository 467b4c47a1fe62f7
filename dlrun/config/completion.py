"""Completion of words in a shell: ``eval "$(dlrun completion bash)"``.

A shell asks ``dlrun completion words LINE``, with the line up to the cursor; the answer is read off the config files.
"""

from __future__ import annotations

import os
import re

from dlrun import paths
from dlrun.config import described, shipped
from dlrun.config.help import CONFIG_DIR, value_after
from dlrun.config.vocabulary import Vocabulary
from dlrun.config.words import FLAGS
from dlrun.errors import UserError, suggest

BASH = r"""_dlrun() {
    local line=${COMP_LINE:0:COMP_POINT} cut="" IFS=$'\n'
    local word=${line##*[[:space:]]}
    # Bash begins a new word behind each = and :, and replaces that word alone.
    [[ $word == *[=:]* && $COMP_WORDBREAKS == *=* ]] && cut=${word%"${word##*[=:]}"}
    local found=($(command dlrun completion words "$line" 2>/dev/null))
    COMPREPLY=("${found[@]#"$cut"}")
}
complete -o default -o nospace -F _dlrun dlrun
"""

ZSH = r"""_dlrun() {
    local -a found
    found=("${(@f)$(command dlrun completion words "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then
        compadd -Q -S '' -- $found
    else
        compset -P '*='
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _dlrun dlrun
"""

FISH = r"""function __dlrun_words
    set -l line (commandline -cp)
    set -l found (command dlrun completion words "$line" 2>/dev/null | string trim -r | string match -rv '^$')
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        set -l key (string match -r '^.*=' -- (commandline -ct))
        for path in (__fish_complete_path (string replace -r '^.*=' '' -- (commandline -ct)))
            printf '%s%s\n' "$key" $path
        end
    end
end
complete -c dlrun -f -a '(__dlrun_words)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
NOT_TAKEN = ("--shell-completion", "--experimental-rerun", "--config-path", "--run")
"""Flags of Hydra for which dlrun has another way."""
FILES = ("input", "weights")
"""Keys whose values are files, which the shell completes itself."""


def answer(arguments: list[str]) -> str:
    """What ``dlrun completion ...`` prints: the script of a shell, or the words that a line can go on with.

    Raises:
        UserError: no such shell.
    """
    if len(arguments) == 2 and arguments[0] == "words":
        return "\n".join(words(arguments[1]))
    shell = " ".join(arguments)
    if shell not in SCRIPTS:
        here = os.path.basename(os.environ.get("SHELL", ""))
        how = f"; yours is {here}" if here in SCRIPTS else ""
        raise UserError(f"completion {shell}".rstrip() + f": no such shell; {suggest(shell, SCRIPTS)}{how}")
    return SCRIPTS[shell]


def words(line: str) -> list[str]:
    """What the last word of a line can become; nothing where the shell shall offer files.

    Args:
        line: from the program's name to the cursor.
    """
    _, *typed = f"{line}\0".split()
    last = typed.pop().removesuffix("\0")
    if not typed:
        return [f"{verb} " for verb in [*shipped.verbs(), "tensorboard", "help", "completion"] if verb.startswith(last)]
    verb, *before = typed
    if verb == "completion":
        return [f"{shell} " for shell in SCRIPTS if shell.startswith(last)]
    if verb == "help":
        return [f"{name} " for name in shipped.verbs() if name.startswith(last)]
    if verb not in shipped.verbs() or last.partition("=")[0] in FILES:
        return []
    if last.startswith("-"):
        return [
            f"{flag} " for flag in FLAGS if flag.startswith("--") and flag.startswith(last) and flag not in NOT_TAKEN
        ]
    if before and before[-1] == "--help":
        return [f"{group} " for group in described.defaults(verb) if group.startswith(last)]
    if last.startswith("run="):
        return [f"{run} " for run in runs() if run.startswith(last)]
    if verb == "reproduce" and "=" not in last:
        names = [name for group in ("experiment", "lesson") for name in described.choices(group)]
        return [f"{name} " for name in names if name.startswith(last)]
    return overrides(verb, before, last)


def runs() -> list[str]:
    """The runs that hold a checkpoint, as values of ``run``."""
    found = sorted(str(file.parent.parent) for file in paths.RUNS.glob("**/checkpoints/last.pt"))
    return ["run=last", *(f"run={run}" for run in found)]


def overrides(verb: str, before: list[str], last: str) -> list[str]:
    """Groups, choices, and keys with their values, for what stands before: read off the files, without Hydra."""
    if last.startswith("hydra"):
        return of_hydra(verb, last)
    known = Vocabulary(verb, value_after(before, CONFIG_DIR))
    known.choose(before)
    name, equals, value = last.partition("=")
    if equals and name in known.choices:
        return [f"{name}={choice} " for choice in known.choices[name] if choice.startswith(value)]
    values = keys(known)
    if equals:
        default = values.get(name, "")
        return [f"{name}={default} "] if re.fullmatch(r"[\w.+-]+", default) and default.startswith(value) else []
    found = {f"{group}=" for group in known.choices} | {"hydra.", "hydra/"}
    for key in [key for key in values if key.startswith(last) and key != "verb" and not key.endswith("._target_")]:
        head, dot, _ = key[len(last) :].partition(".")
        is_section = any(other.startswith(f"{last}{head}.") for other in values)
        found.add(f"{last}{head}{'.' if dot or is_section else '='}")
    return sorted(word for word in found if word.startswith(last))


def keys(known: Vocabulary) -> dict[str, str]:
    """The keys of a verb's config with their values, those of the choices that are made among them."""
    found: dict[str, str] = {}
    for group, choices in known.choices.items():
        file = choices.get(known.chosen[group])
        found |= {f"{group}.{key.name}": key.value for key in described.of_choice(file).values()} if file else {}
    for name in ("_base", known.verb):
        found |= {key.name: key.value for key in described.keys(paths.configs() / f"{name}.yaml")}
    return found


def of_hydra(verb: str, last: str) -> list[str]:
    """Keys of Hydra's own part, as it completes them."""
    from hydra.plugins.completion_plugin import DefaultCompletionPlugin

    from dlrun.config.compose import hydra_of

    with hydra_of(None) as hydra:
        found = DefaultCompletionPlugin(hydra.config_loader)._query(verb, last)
    return [word if word.endswith(("=", ".", "/")) else f"{word} " for word in found]
