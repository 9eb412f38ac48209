"""Every mutant can still be made; whether the storm catches it is seen by hand, in minutes each."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.torture.controls import ROOT, Control, ControlError, controls, mutate

CHANGED = re.compile(r"^--- a/(.+)$", re.MULTILINE)


@pytest.mark.parametrize("control", controls(), ids=lambda control: control.name)
def test_a_mutant_still_fits_and_is_python(control: Control, tmp_path: Path) -> None:
    files = CHANGED.findall(control.patch.read_text())
    assert files
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    mutate(control, tmp_path)
    for name in files:
        text = (tmp_path / name).read_text()
        assert text != (ROOT / name).read_text()
        if name.endswith(".py"):
            compile(text, name, "exec")
    assert control.what.endswith(".")
    assert control.rules


def test_a_mutant_that_no_longer_fits_says_so(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="does not fit"):
        mutate(controls()[0], tmp_path)
