"""Any command line ends with a status and a line, never with a traceback. The commands themselves are left out."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig

from dlrun import build
from dlrun.command import train
from dlrun.config.difference import flat
from dlrun.config.targets import check_targets
from tests import mutations
from tests.conftest import Dlrun
from tests.test_configs import composed

EXAMPLES = int(os.environ.get("DLRUN_EXAMPLES", "30"))

KEYS = sorted(flat(composed("train")))
SECTIONS = sorted({key.rpartition(".")[0] for key in KEYS} - {""})
HYDRA = ["hydra.job.name", "hydra.sweep.subdir", "hydra.verbose", "hydra.mode", "hydra/sweeper", "experiment"]
VALUES = [
    *("", "null", "true", "0", "-1", "1e400", "nan", "inf", "1_000", "0x10", "1.5", "99999999999999999999", "???"),
    *("[]", "[1", "1]", "[[]]", "[1,[2,{a:3}]]", "{}", "{a:1", "{a: 1, a: 2}", "{_target_: os.system}", "{1: 2}"),
    *(
        "''",
        '""',
        "'",
        '"',
        "\\",
        "'a b'",
        "a b",
        "a\nb",
        "\t",
        " ",
        "$",
        "@",
        "#",
        ":",
        "=",
        "a=b",
        "~",
        "+",
        "!!python/x",
    ),
    *("${oc.env:X}", "${oc.env:HOME}", "${nowhere}", "${seed}", "${name}", "${.}", "${..name}", "${", "$${seed}"),
    *("${oc.select:seed}", "${oc.create:{a:1}}", "${hydra:run.dir}", "${hydra:nowhere}", "${now:%Y}"),
    *("${oc.decode:'['}", "${job_name:[a]}", "${oc.dict.keys:model}", "${dataset}", "'${model}'", "\\${seed}"),
    *(
        "1,2",
        "a,b",
        "range(1,3)",
        "range(3)",
        "choice(1,2)",
        "interval(0,1)",
        "glob(*)",
        "sort(3,1)",
        "int(x)",
        "str(1)",
    ),
    *("shuffle(1,2)", "tag(a,1)", "extend_list(1)", "nothing(1)", "cast(1)", "lenet", "lenett", "digits", "os.system"),
    *("é", "数", "\u202e", "\U0001f600", "\ufeff", "\udcff", "a" * 300, "[" * 500, "../x", "/dev/null", ".", "x/y"),
]

keys = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(SECTIONS),
    st.sampled_from(HYDRA),
    st.sampled_from(["", ".", "..", "a..b", "é", "_target_", "model@x", "model@_global_", "hydra", "a b", "a[0]", "-"]),
    st.builds(
        lambda key, text, at: key[:at] + text + key[at:], st.sampled_from(KEYS), st.text(max_size=3), st.integers(0, 30)
    ),
)
texts = st.text(st.characters(exclude_characters="\0"), max_size=12)
values = st.one_of(
    st.sampled_from(VALUES),
    st.sampled_from(VALUES),
    st.sampled_from(VALUES),
    texts,
    st.builds("".join, st.lists(st.sampled_from([*"[]{}(),:='\"\\ $.a1", "${", "range(", "choice("]), max_size=12)),
    st.recursive(
        st.sampled_from(["1", "a", "null", "'a b'", "${seed}", "-0.5", "é"]),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
            st.lists(inner, max_size=2).map(
                lambda parts: "{" + ",".join(f"k{n}: {v}" for n, v in enumerate(parts)) + "}"
            ),
        ),
        max_leaves=6,
    ),
)
overrides = st.one_of(
    st.builds("{}{}={}".format, st.sampled_from(["", "", "", "+", "++", "~"]), keys, values),
    st.builds("{}{}".format, st.sampled_from(["", "+", "++", "~"]), keys),
    texts.filter(lambda text: not text.startswith("-")),
)
command_lines = st.tuples(
    st.sampled_from([[], [], [], ["-m"]]),
    st.one_of(st.lists(overrides, min_size=1, max_size=1), st.lists(overrides, min_size=2, max_size=3)),
).map(lambda parts: parts[0] + parts[1])


def stub(config: DictConfig, run: Any) -> dict[str, Any]:
    """What a training does before it loads any data."""
    check_targets(config)
    build.trainer_options(config)
    return {"metrics": {}}


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(arguments=command_lines)
@example(arguments=["seed=${oc.env:X}"])
@example(arguments=["name=???"])
@example(arguments=["name=${name}"])
@example(arguments=["verb=x"])
@example(arguments=["~dataset"])
@example(arguments=["-m", "~dataset"])
@example(arguments=["hydra/sweeper=${seed}"])
@example(arguments=["hydra.verbose=1e400"])
@example(arguments=["experiment=range(3)"])
@example(arguments=["name=a\nb"])
@example(arguments=["--nothing"])
def test_a_command_line_ends_with_a_status_and_no_traceback(
    dlrun: Dlrun, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(train, "main", stub)
    ended = dlrun("train", *arguments)
    assert ended.status in (0, 1, 2)
    assert "Traceback" not in ended.err + ended.out
    assert all(line.startswith("dlrun: ") for line in ended.errors)
    assert bool(ended.errors) == (ended.status == 2)  # a job of a sweep that failed is in the table


@pytest.mark.slow
def test_a_mistyped_key_is_refused_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = random.Random(0).sample(mutations.cases()[0], 40)
    good = mutations.report(chosen, "")
    good &= mutations.report(chosen[:10], "+")
    assert good, capsys.readouterr().out
