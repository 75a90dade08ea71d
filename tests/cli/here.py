"""Where the commands find the application of the test that runs them in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from bzz.cli.main import bzz

auditor: Any = None
APPLICATION = "tests.cli.here:auditor"


def run(*arguments: str, **options: Any) -> Result:
    """Run a command of the test's application, without a terminal."""
    return CliRunner().invoke(bzz, ["--app", APPLICATION, *arguments], **options)


def told(*arguments: str) -> list[Any]:
    """What a command prints as JSON; it has to end with 0."""
    result = run(*arguments, "--json")
    assert 0 == result.exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]
