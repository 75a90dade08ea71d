"""The quick start: it is the README's program, and runs with a database of its own."""

from __future__ import annotations

import re
import signal

from tests.examples.running import EXAMPLES, ROOT, free_port, started, wait_for
from tests.support import Client

PROGRAM = EXAMPLES / "quick_start.py"


def test_it_is_the_program_of_the_readme():
    [program] = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    _, docstring, code = PROGRAM.read_text().split('"""', 2)

    assert "python examples/quick_start.py" in docstring
    assert program == code.lstrip("\n")


def test_it_serves_orders_and_their_history_from_an_embedded_database(tmp_path):
    port = free_port()
    program = tmp_path / "quick_start.py"
    # Its port is that of the README; the test must not need that one.
    program.write_text(PROGRAM.read_text().replace("8888", str(port)))
    with started(program, folder=tmp_path) as process:
        wait_for(port, process)
        client = Client(port)
        order = {"number": "A-17", "customer": "Ana"}
        made = client.post("/order/", order, headers={"X-User": "rui"})
        history = client.get("/order/A-17/history/").json["items"]
        page = client.get("/order/A-17/history/", headers={"Accept": "text/html"})
        client.close()
        process.send_signal(signal.SIGINT)
        code = process.wait(30)

    assert 201 == made.status
    assert ["rui"] == [each["actor"]["id"] for each in history]
    assert (200, True) == (page.status, b"Ana" in page.body)
    assert (0, True) == (code, (tmp_path / "orders-data").is_dir())
