"""The commands as somebody types them: what the documents name exists, and mistakes are one line."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from embedded import ROOT
from lab import cli
from scenarios import model

DOCUMENTS = sorted(
    file
    for folder in (ROOT / "docs", ROOT / "exam")
    for file in folder.rglob("*")
    if file.suffix in (".md", ".yaml", ".j2")
)
_TYPED = re.compile(r"(?:^|(?<=[\s`/('\"]))lab ((?:(?!\blab )[^`\n])*)", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def _unknown_options(text: str) -> Iterator[str]:
    """``lab exam report --json`` for each option of a command in the text that the command has not."""
    for typed in _TYPED.findall(text):
        command: Any = typer.main.get_command(cli.app)
        path = ["lab"]
        for word in re.findall(r"[\w-]+", typed):
            if word not in getattr(command, "commands", {}):
                break
            command = command.commands[word]
            path.append(word)
        known = {name for parameter in command.params for name in parameter.opts}
        if len(path) > 1:
            yield from (" ".join((*path, one)) for one in _OPTION.findall(typed) if one not in known)


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["lab", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("file", [ROOT / "README.md", *DOCUMENTS], ids=lambda file: file.name)
def test_every_option_that_a_document_names_is_one_of_its_command(file: Path) -> None:
    assert list(_unknown_options(file.read_text(encoding="utf-8"))) == []


def test_an_option_that_there_is_not_would_be_found() -> None:
    text = "type `lab exam start x --minutes 5`; lab exam report --json, and the lab with --nothing"

    assert list(_unknown_options(text)) == ["lab exam report --json"]


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    monkeypatch.setenv("EXAMINER_TOKEN", "t")

    code = _run(monkeypatch, "batch", "--agent", "true", "-o", str(tmp_path / "no" / "lines.jsonl"))

    assert code == 1
    assert capsys.readouterr().err == f"{tmp_path}/no/lines.jsonl: No such file or directory\n"


@pytest.mark.parametrize("command", [("pack", "--check"), ("batch", "--agent", "true"), ("scenario", "list")])
def test_a_scenario_file_that_cannot_be_used_is_said_without_a_traceback(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    monkeypatch.setattr(model, "load_all", lambda: _cannot_be_used())

    code = _run(monkeypatch, *command)

    assert code == 1
    assert capsys.readouterr().err == "slow-search.yaml: title: is missing\n"


def test_a_batch_without_the_examiners_token_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    monkeypatch.delenv("EXAMINER_TOKEN", raising=False)

    code = _run(monkeypatch, "batch", "--agent", "true")

    assert (code, list(tmp_path.rglob("*"))) == (1, [])
    assert "set EXAMINER_TOKEN" in capsys.readouterr().err


def test_repeat_refuses_a_name_before_it_plays_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _run(monkeypatch, "repeat", "payment-dns", "mising-index")

    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert "there is no scenario 'mising-index'; there are: card-decline, " in said.err


@pytest.mark.parametrize(
    "command",
    [
        ("ops", "get", "payment"),
        ("query", "up"),
        ("dig", "fraud-api"),
        ("exam", "brief"),
        ("scenario", "verify", "payment-dns"),
    ],
    ids=" ".join,
)
def test_without_a_lab_a_command_says_so_in_one_line_with_the_way_out(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # An address of this machine at which nothing listens.
    monkeypatch.setenv("LAB_BIND", "127.86.99.11")
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    monkeypatch.setenv("FIREDRILL_TOKEN", "t")
    for name in ("EXAM_URL", "EXAM_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    code = _run(monkeypatch, *command)

    said = capsys.readouterr().err
    assert code == 1
    assert said.endswith("Is the lab up? `lab status` says; LAB_BIND is the address of one elsewhere\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        (
            "SCENARIO",
            "incident-c",
            "SCENARIO='incident-c' is no scenario; allowed: cycle, none, card-",
        ),
        ("SCENARIO_HOLD_S", "-4", "SCENARIO_HOLD_S='-4': Input should be greater than or equal to 0"),
    ],
)
def test_a_lab_that_could_play_nothing_of_what_it_is_asked_for_does_not_start(
    name: str, value: str, why: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "LAB_DIR": str(tmp_path / "lab"), name: value}

    ended = subprocess.run(
        [sys.executable, "-m", "embedded"], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(why)
    assert not (tmp_path / "lab").exists()


def test_a_report_is_html_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.pdf"

    code = _run(monkeypatch, "exam", "report", "-o", str(file))

    assert code == 1
    assert capsys.readouterr().err == f"{file}: a report is .html or .json\n"
    assert not file.exists()


def test_an_agents_command_with_an_open_quote_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))

    code = _run(monkeypatch, "batch", "--agent", "python 'agent.py")

    assert code == 1
    assert "is no command: No closing quotation" in capsys.readouterr().err


@pytest.mark.parametrize(
    "looks_back", [("--level", "ERROR"), ("--trace", "4bf9"), ("-q", "x"), ("--since", "1m")]
)
def test_logs_that_are_searched_cannot_be_followed(
    looks_back: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TELEMETRY_URL", "http://127.0.0.1:9")

    code = _run(monkeypatch, "logs", "payment", "-f", *looks_back)

    assert code == 1
    assert "--follow goes with a service alone" in capsys.readouterr().err


def _cannot_be_used() -> dict[str, model.Scenario]:
    raise model.ScenarioError("slow-search.yaml: title: is missing")
