"""`lumibot-duckdb doctor` as a user sees it, without the self-test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from lumibot_duckdb.cli.main import main
from lumibot_duckdb.doctor import examination
from lumibot_duckdb.doctor.check import FAILED, OK, Check
from lumibot_duckdb.doctor.settings import KEYS

pytestmark = pytest.mark.usefixtures("clean_settings")
SECRET = "sk-live-0123456789abcdef"


@pytest.fixture(autouse=True)
def _lumibot_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "check_import", lambda: Check("contract.import", OK, "Lumibot can be imported"))
    monkeypatch.setattr(examination, "breaches", lambda source: ())


def doctor(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["doctor", "--no-self-test", *options])
    shown = capsys.readouterr()
    assert shown.err == ""
    return code, shown.out


def test_nothing_is_wrong(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = doctor(capsys, "--store", str(filled))
    assert code == 0
    titles = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert titles[:-1] == ["Versions", "Settings", "Store", "Contract with Lumibot"]
    assert titles[-1].endswith(" ok.")
    assert f"  ok       {filled} (--store)\n" in out


def test_a_failure_has_a_remedy_and_the_exit_code_1(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled.write_bytes(b"no database" * 1_000)
    code, out = doctor(capsys, "--store", str(filled))
    assert code == 1
    assert "  failed   the store cannot be opened: " in out
    assert "           -> move the file away and restore a backup" in out
    assert out.splitlines()[-1].endswith("1 failed, 1 skipped.")


def test_json_has_stable_keys(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = doctor(capsys, "--store", str(filled), "--json")
    said = json.loads(out)
    assert (code, said["ok"]) == (0, True)
    assert list(said) == ["ok", "version", "counts", "checks"]
    assert list(said["counts"]) == ["ok", "warning", "failed", "skipped"]
    assert sum(said["counts"].values()) == len(said["checks"])
    assert all(list(check) == ["name", "group", "status", "summary", "remedy", "details"] for check in said["checks"])
    names = [check["name"] for check in said["checks"]]
    assert len(set(names)) == len(names)
    assert {check["group"] for check in said["checks"]} == {"versions", "settings", "store", "contract"}


def test_a_setting_in_an_env_file_and_a_file_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("LUMIBOT_DUCKDB_ROLLOUT=25\n")
    assert f"LUMIBOT_DUCKDB_ROLLOUT: 25 ({tmp_path}/.env)" in doctor(capsys, "--store", str(tmp_path))[1]
    (tmp_path / ".env").write_bytes("NAME=café".encode("latin-1"))
    code, out = doctor(capsys, "--store", str(tmp_path))
    assert code == 1
    assert f"  failed   {tmp_path}/.env is not UTF-8 text" in out


def test_no_key_is_shown_wherever_it_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("LUMIBOT_DUCKDB_ROLLOUT", SECRET)  # pasted into the wrong line
    (tmp_path / ".env").write_text(f"MY_OTHER_SECRET={SECRET[::-1]}\n")
    monkeypatch.setattr(examination, "breaches", lambda source: (f"a signature with {SECRET} and {SECRET[::-1]}",))
    for options in ([], ["--json"]):
        code, out = doctor(capsys, "--store", str(tmp_path), *options)
        assert code == 1
        assert SECRET not in out
        assert SECRET[::-1] not in out
        assert "POLYGON_API_KEY: set (environment)" in out


def test_checks_that_stop_are_a_failure_and_the_others_continue(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> Iterator[Check]:
        yield Check("versions.python", OK, "Python")
        raise LookupError("no such thing")

    monkeypatch.setattr(examination, "check_versions", stop)
    code, out = doctor(capsys, "--store", str(filled))
    assert code == 1
    assert "  failed   an error stopped these checks: LookupError: no such thing\n" in out
    assert "the store can be opened" in out


def test_the_contract_and_the_self_test_are_skipped_without_lumibot(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Check("contract.import", FAILED, "Lumibot is not installed", "pip install lumibot")
    monkeypatch.setattr(examination, "check_import", lambda: absent)
    found = [check for _, group in examination.examine(str(filled), []) for check in group]
    assert [asdict(check)["name"] for check in found if check.status == "skipped"] == [
        "contract.sources",
        "self_test.run",
    ]


def test_lumibot_that_cannot_be_imported_leaves_the_other_checks(filled: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "lumibot"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('Lumibot is broken here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "lumibot_duckdb.cli.main", "doctor", "--json", "--store", str(filled)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)
    assert done.returncode == 1
    odd = {check["name"]: check["status"] for check in said["checks"] if check["status"] != "ok"}
    assert odd == {"contract.import": "failed", "contract.sources": "skipped", "self_test.run": "skipped"}
    (said_of_it,) = [check for check in said["checks"] if check["name"] == "contract.import"]
    assert "Lumibot is broken here" in said_of_it["summary"]
