"""What the documents say is compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from app.bell import JOBS
from app.factory import create_app
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    """The table that README.md must hold, from the settings themselves."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, SecretStr):
            shown = "public demo value"
        elif default in ("", (), {}, None):
            shown = "–"
        else:
            shown = f"`{default}`"
        lines.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(lines)


def test_readme_has_the_settings_table() -> None:
    assert settings_table() in README


def test_readme_names_every_command() -> None:
    cli = create_app(Settings()).cli
    ours = set(cli.commands) - {"run", "shell", "routes"}
    table = README.split("## Command line")[1].split("## ")[0]
    documented = set(re.findall(r"`([a-z-]+)[ `]", table))
    assert ours <= documented, f"not in the README: {sorted(ours - documented)}"


def test_every_queue_has_a_worker_in_the_procfile() -> None:
    procfile = (ROOT / "Procfile").read_text()
    served = re.findall(r"python -m workers (\w+)", procfile)
    assert sorted(served) == sorted(JOBS), "one worker process a queue, and every queue has one"


def test_named_metrics_exist() -> None:
    """An alarm on a metric that nobody exports never rings."""
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    code = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    for metric in set(re.findall(r"kibanda_[a-z_]+", runbook)) - {"kibanda_app", "kibanda_owner"}:
        assert f'"{metric}"' in code, metric
