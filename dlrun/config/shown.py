"""What Hydra's flags show in place of a run: the config with its comments, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict, read_write

from dlrun.config import described
from dlrun.config.plan import job_config
from dlrun.errors import UserError, suggest

if TYPE_CHECKING:
    from dlrun.config.compose import FrontDoor


def shows(door: FrontDoor) -> bool:
    """Print what a flag asks for in place of a run (``--cfg``, ``--info``, ...); False if none does.

    Raises:
        UserError: several do, or a flag is not known to dlrun.
    """
    flags, overrides = door.request.flags, list(door.overrides)
    asked = {
        "--cfg": flags.cfg is not None,
        "--info": flags.info is not None,
        "--hydra-help": flags.hydra_help,
        "--multirun": flags.multirun,
        "--run": flags.run,
    }
    chosen = [name for name, is_asked in asked.items() if is_asked]
    if flags.shell_completion:
        raise UserError('--shell-completion: not known to dlrun; expected eval "$(dlrun completion bash)", zsh or fish')
    if flags.experimental_rerun is not None:
        raise UserError("--experimental-rerun: not known to dlrun; expected dlrun replay run=DIR")
    if flags.resolve and flags.cfg is None:
        raise UserError("--resolve: expected with --cfg")
    if len(chosen) > 1:
        raise UserError(f"{' '.join(chosen)}: expected one of them")
    if asked["--cfg"]:
        print(config_text(door))
    elif asked["--info"]:
        door.hydra.show_info(flags.info, door.name, overrides)
    elif asked["--hydra-help"]:
        from hydra._internal.utils import get_args_parser

        door.hydra.hydra_help(door.name, get_args_parser(), flags)
    else:
        return False
    return True


def config_text(door: FrontDoor) -> str:
    """The config that ``--cfg`` asks for, as YAML; a comment says what a key means.

    Raises:
        UserError: ``--package`` names no section of it.
    """
    flags = door.request.flags
    full = door.hydra.compose_config(door.name, list(door.overrides), RunMode.RUN)
    HydraConfig.instance().set_config(full)  # so that ${hydra:...} resolves
    chosen = {str(group): str(choice) for group, choice in full.hydra.runtime.choices.items()}
    with read_write(full), open_dict(full):
        config = {"job": job_config(full), "hydra": OmegaConf.masked_copy(full, ["hydra"]), "all": full}[flags.cfg]
    package = "" if flags.package in (None, "_global_") else flags.package
    part = OmegaConf.select(config, package) if package else config
    if part is None and package:
        raise UserError(f"--package={package}: no such section; {suggest(package, map(str, config))}")
    if not OmegaConf.is_config(part):
        return str(part)
    if flags.resolve:
        OmegaConf.resolve(part)
    explained = described.comments(door.request.verb, chosen, flags.config_dir)
    text = described.commented(OmegaConf.to_yaml(part), explained, package)
    return f"# @package {package}\n{text}" if package else text
