"""The wheel carries configs and experiments, and runs from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from dlrun import paths

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(REPOSITORY)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_config_and_nothing_global(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    for file in paths.configs().rglob("*.yaml"):
        assert f"dlrun/configs/{file.relative_to(paths.configs())}" in names
    for file in (REPOSITORY / "experiments").glob("*.yaml"):
        assert f"dlrun/configs/experiment/{file.name}" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dlrun", "hydra_plugins"}
    plugins = sorted(name for name in names if name.startswith("hydra_plugins"))
    assert plugins == ["hydra_plugins/dlrun_optuna.py", "hydra_plugins/dlrun_ray.py"]
    assert "dlrun/py.typed" in names


def test_installed_into_an_empty_environment_it_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "empty"
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "-q", "--no-deps", str(wheel)], check=True, capture_output=True)
    # torch and the other dependencies weigh gigabytes: they are lent by this environment, dlrun itself is not.
    site = next(environment.glob("lib/python*/site-packages"))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    where = [str(python), "-c", "import dlrun; print(dlrun.__file__)"]
    found = subprocess.run(where, cwd=folder, env=variables, check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()).is_relative_to(environment)
    command = [str(environment / "bin" / "dlrun"), "train", "model=linear", "dataset.image_size=8", "trainer.epochs=1"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("runs/train/linear-digits/*/checkpoints/best.pt"))
