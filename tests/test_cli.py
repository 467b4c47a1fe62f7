"""The command line: help, errors, exit status, one's own configs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from dlrun import paths
from dlrun.config import shipped
from dlrun.errors import RunError, UserError, of_device
from tests.conftest import QUICK, Dlrun, Train, only_run, result

IN_PROCESS = """
import sys
sys.argv = ["dlrun", *sys.argv[1:]]
from dlrun.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, *[name for name in ("torch", "hydra", "pydantic", "multiprocessing") if name in sys.modules])
"""


LESS = "a smaller dataset.batch_size, dataset.eval_batch_size, dataset.image_size or model needs less"


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (
            "nll_loss2d_forward_out_cuda_template does not have a deterministic implementation, but you set",
            UserError,
            "trainer.deterministic=true: torch has no such nll_loss2d_forward_out_cuda_template on this device;"
            " expected false",
        ),
        (
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB",
            RunError,
            f"CUDA out of memory; {LESS}",
        ),
        (
            "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9",
            RunError,
            f"out of memory; {LESS}",
        ),
        (
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to",
            RunError,
            f"out of memory; {LESS}",
        ),
        ("shapes cannot be multiplied", RuntimeError, "shapes cannot be multiplied"),
    ],
)
def test_what_a_device_cannot_do_names_the_keys_to_change(said: str, kind: type[Exception], told: str) -> None:
    error = of_device(RuntimeError(said))
    assert isinstance(error, kind)
    assert str(error) == told


def test_numpys_words_for_too_little_memory_are_the_same() -> None:
    error = of_device(MemoryError("Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000)"))
    assert str(error) == f"out of memory; {LESS}"


def status_and_modules(*arguments: str) -> list[str]:
    """The exit status of a command line in a new process, and which slow modules it imported."""
    done = subprocess.run([sys.executable, "-c", IN_PROCESS, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("evaluate", "-h"), ("--version",), ()])
def test_help_imports_nothing_slow(arguments: tuple[str, ...]) -> None:
    assert status_and_modules(*arguments) == ["0"]


@pytest.mark.parametrize("argument", ["lr=0.1", "model=lenett", "--lr", "lenett", "loss=ce"])
def test_what_beginners_type_is_answered_before_anything_slow(argument: str) -> None:
    assert status_and_modules("train", argument) == ["2"]


@pytest.mark.parametrize("argument", ["trainer.epohcs=3", "trainer.epochs=abc", "optimizer.lr=-1"])
def test_errors_of_the_config_come_before_torch(argument: str) -> None:
    assert status_and_modules("train", argument) == ["2", "hydra", "pydantic"]


def test_help_names_every_verb_group_choice_and_key(dlrun: Dlrun) -> None:
    overview = dlrun("--help").out
    for verb in shipped.verbs():
        assert f"\n  {verb} " in overview
    text = dlrun("train", "--help").out
    for group in ("model", "dataset", "task", "loss", "optimizer", "scheduler", "trainer", "callback"):
        line = next(line for line in text.splitlines() if line.startswith(f"  {group} "))
        for file in (paths.configs() / group).glob("[a-z]*.yaml"):
            assert file.stem in line
    for key in ("seed", "name", "weights"):
        assert f"\n  {key} " in text


ERRORS = {
    ("trian",): "trian: no such verb; did you mean 'train'? choose from ",
    ("train", "modle=lenet"): "modle=lenet: no such key; did you mean 'model'?",
    (
        "train",
        "model=lenett",
    ): "model=lenett: no such choice; did you mean 'lenet'? choose from alexnet, ",
    ("train", "trainer.epohcs=3"): "trainer.epohcs=3: no such key; did you mean 'epochs'?",
    ("train", "+trainer.epohcs=3"): "trainer.epohcs: no such key; did you mean 'epochs'?",
    ("train", "-m", "optimizer.lrr=0.1,0.2"): "optimizer.lrr=0.1,0.2: no such key; did you mean 'lr'?",
    ("train", "trainer.epochs=abc"): "trainer.epochs='abc': expected a valid integer",
    ("train", "trainer.precision=fp8"): "trainer.precision='fp8': expected 'auto', 'fp32', 'bf16' or 'fp16'",
    ("train", "trainer.device=gpu"): "trainer.device=gpu: expected trainer.device=cuda",
    ("train", "dataset.batch_size=0"): "dataset.batch_size=0: expected greater than 0",
    ("train", "dataset.shape=[1,0,8]"): "dataset.shape.1=0: expected greater than 0",
    (
        "train",
        f"dataset.batch_size={10**20}",
    ): f"dataset.batch_size={10**20}: expected less than or equal to 2147483647",
    ("train", f"seed={2**64}"): f"seed={2**64}: expected less than {2**64}",
    ("train", "optimizer.lr=-1"): "optimizer.lr=-1: expected greater than 0",
    ("train", "trainer.epochs=[1"): "trainer.epochs=[1: not understood",
    ("train", "model=mlp", "model.activation=tan"): "model.activation='tan': expected 'relu'",
    (
        "train",
        "model=mlp",
        "+model.wdith=3",
    ): "model.wdith: dlrun.model.mlp.MLP takes no such argument; did you mean 'w",
    ("train", "model._target_=nowhere.Net"): "model._target_=nowhere.Net: cannot be imported",
    ("train", "dataset.image_size=8"): "model: lenet takes images of 12x12 or more, not 8x8",
    ("train", "model=alexnet"): "model: alexnet takes images of 63x63 or more, not 28x28",
    ("train", "model.num_classes=7"): "model=LeNet: gives 7 outputs for an image; expected 10, one for each class",
    ("train", "weights=nowhere.pt"): "weights=nowhere.pt: no such file",
    ("train", "trainer.monitor=val/acuracy", *QUICK): "trainer.monitor=val/acuracy: no such metric",
    ("train", "dataset=image_folder", "dataset.root=nowhere"): "dataset.root=nowhere: no such folder",
    (
        "evaluate",
    ): "model: none chosen; expected dlrun train first, then run=last, run=DIR, or model=NAME with weights=",
    (
        "explain",
        "model=lenet",
        "weights=w.pt",
    ): "dataset: none chosen; expected dlrun train first, then run=last, run=D",
    (
        "predict",
        "model=lenet",
        "+model.chanels=1",
    ): "model.chanels: dlrun.model.lenet.LeNet takes no such",
    ("evaluate", "run=nowhere"): "run=nowhere: no such folder",
    ("evaluate", "run=last"): "run=last: no run with a checkpoint",
    ("evaluate", "model=lenet", "dataset=digits"): "weights: none given",
}


@pytest.mark.parametrize(("arguments", "line"), ERRORS.items(), ids=[" ".join(key) for key in ERRORS])
def test_wrong_input_is_one_line_and_status_2(dlrun: Dlrun, arguments: tuple[str, ...], line: str) -> None:
    ended = dlrun(*arguments)
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert ended.errors[0].startswith(f"dlrun: {line}")
    assert not list(Path().iterdir())  # nothing is left behind


def test_all_faults_are_told_at_once(dlrun: Dlrun) -> None:
    assert len(dlrun("train", "trainer.epohcs=3", "optimizer.lrr=1").errors) == 2
    assert len(dlrun("train", "trainer.epochs=0", "optimizer.lr=abc").errors) == 2
    assert len(dlrun("train", "+model.foo=3", "+loss.bar=1").errors) == 2


def test_a_mistyped_key_beside_a_run_is_named(dlrun: Dlrun, train_once: Train) -> None:
    train_once(*QUICK, "trainer.epochs=1", "hydra.run.dir=run")
    ended = dlrun("evaluate", "run=run", "splitt=val")
    assert ended.status == 2
    assert ended.errors[0].startswith("dlrun: splitt=val: no such key; did you mean 'split'?")


def test_missing_data_without_a_network_is_one_line(dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    ended = dlrun("train", "dataset=kmnist", "dataset.root=here")
    assert ended.status == 2
    assert len(ended.errors) == 1
    assert "dataset.root=here: no KMNIST in" in ended.errors[0]
    assert "set dataset.root=DIR or DLRUN_DATA" in ended.errors[0]


def test_a_wrong_input_leaves_other_files_in_the_folder_alone(dlrun: Dlrun) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("precious")
    assert dlrun("train", "weights=nowhere.pt", "hydra.run.dir=mine").status == 2
    assert Path("mine/thesis.txt").read_text() == "precious"


def test_a_diverging_run_ends_with_step_and_learning_rate(dlrun: Dlrun) -> None:
    ended = dlrun("train", *QUICK, "loss=mse", "optimizer.lr=1e6", "scheduler=constant", "hydra.run.dir=mine")
    assert ended.status == 1
    assert len(ended.errors) == 1
    assert "in step" in ended.err
    assert "at learning rate 1e+06" in ended.err
    assert result(Path("mine"))["status"] == "failed"


def test_hydras_flags_work(dlrun: Dlrun) -> None:
    assert "epochs: 3" in dlrun("train", "trainer.epochs=3", "--cfg", "job").out
    assert (
        "_target_: torch.optim.Adam" in dlrun("train", "optimizer=adam", "--cfg", "job", "--package", "optimizer").out
    )
    assert dlrun("train", "--info", "defaults").status == 0
    assert not Path("runs").exists()


def test_flags_and_overrides_mix_and_a_folder_may_have_any_name(dlrun: Dlrun) -> None:
    folder = Path("runs/lr=0.1/conf/model")
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: dlrun.model.linear.Linear\n")
    ended = dlrun("train", "model=mine", "--config-dir", "runs/lr=0.1/conf", "seed=3", "--cfg", "job", "name=x")
    assert ended.status == 0, ended.err
    assert "seed: 3" in ended.out
    assert "name: x" in ended.out
    refused = dlrun("train", "--cofnig-dir", "x").errors
    assert refused[0].startswith("dlrun: --cofnig-dir x: no such flag; did you mean '--config-dir'?")


def test_nothing_of_a_group_is_chosen_by_null(dlrun: Dlrun) -> None:
    ended = dlrun("train", "init=null", "logger=null", *QUICK, "hydra.run.dir=mine")
    assert ended.status == 0, ended.err
    assert "[HYDRA]" not in ended.out + ended.err
    config = OmegaConf.to_container(OmegaConf.load("mine/config.yaml"))
    assert isinstance(config, dict)
    assert config.get("init") is None
    assert not config.get("logger")
    assert not list(Path("mine").glob("events.*"))


def test_ones_own_model_and_dataset_need_no_fork(dlrun: Dlrun) -> None:
    Path("mine.py").write_text(
        """
import torch
from torch import nn
from dlrun.dataset.source import Splits, labelled

class Tiny(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(1, num_classes)

    def forward(self, x):
        return self.fc(x.mean(dim=(1, 2, 3)).unsqueeze(1))

def load() -> Splits:
    images = torch.arange(256, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    source = labelled(images, (images[:, 0, 0, 0] > 127).long())
    return Splits(source, source, ["dark", "bright"])
"""
    )
    for group, text in (
        ("model", "_target_: mine.Tiny\nnum_classes: ${dataset.num_classes}\n"),
        (
            "dataset",
            "defaults: [_base, _self_]\nsource: {_target_: mine.load}\n"
            "image_size: 4\nchannels: 1\nnum_classes: 2\nbatch_size: 16\n",
        ),
    ):
        folder = Path("conf") / group
        folder.mkdir(parents=True)
        (folder / "mine.yaml").write_text(text)
    chosen = ("--config-dir", "conf", "model=mine", "dataset=mine")
    ended = dlrun("train", *chosen, "optimizer.lr=1.0", *QUICK[2:])
    assert ended.status == 0, ended.err
    assert result(only_run(Path("runs")))["metrics"]["test/accuracy"] > 0.95
    assert dlrun("evaluate", "run=last", *chosen[:2]).status == 0
    run = only_run(Path("runs/train"))
    assert dlrun("evaluate", "run=last").status == 0  # it was made here
    run.rename("theirs")
    for how in ((), ("trust=[others]",)):
        refused = dlrun("evaluate", "run=theirs", *how)
        assert refused.status == 2
        assert "model._target_=mine.Tiny: not run" in refused.err or "dataset.source._target_=mine.load" in refused.err
        assert "trust=[mine], or DLRUN_TRUST=mine in the environment" in refused.err
    assert dlrun("evaluate", "run=theirs", "trust=[mine]").status == 0
    (models,) = re.findall(r"^  model +(.*) \(default", dlrun("train", "--config-dir", "conf", "--help").out, re.M)
    assert {"alexnet", "lenet", "mine"} <= set(models.split(", "))
    assert "did you mean 'mine'" in dlrun("train", "--config-dir", "conf", "model=minee").err
    assert "did you mean 'model'" in dlrun("train", "--config-dir", "conf", "dataset=mine", "modle=mine").err


def test_weights_of_another_network_are_refused_by_name(dlrun: Dlrun) -> None:
    torch.save({"fc.weight": torch.zeros(10, 64), "foo": torch.zeros(1)}, "other.pt")
    ended = dlrun("evaluate", "model=linear", "dataset=digits", "dataset.image_size=9", "weights=other.pt")
    assert ended.status == 2
    assert ended.errors == [
        "dlrun: weights=other.pt: does not fit Linear: missing fc.bias; unexpected foo;"
        " other shapes: fc.weight 10x64 for 10x81"
    ]
