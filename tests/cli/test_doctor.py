"""`autointerp doctor`: what is installed is reported, a server that does not answer is an error."""

import json

import numpy as np
import pytest

from autointerp.__main__ import main
from autointerp.cli import doctor


def test_versions_and_a_dead_server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The versions are those imported; the hub may be out of reach, a named server may not."""
    monkeypatch.setattr(doctor, "HUB", "http://127.0.0.1:9")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["numpy"] == np.__version__
    assert found["hub"].startswith("no answer from http://127.0.0.1:9")
    assert main(["doctor", "--server", "http://127.0.0.1:9/v1"]) == 2
    assert "server:" in capsys.readouterr().out


def test_a_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "HUB", "http://127.0.0.1:9")
    monkeypatch.setattr(doctor, "REQUIRED", ("numpy", "no-such-package"))
    assert main(["doctor"]) == 2
    assert "no-such-package: not installed" in " ".join(capsys.readouterr().out.split())
