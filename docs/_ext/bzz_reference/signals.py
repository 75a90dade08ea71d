"""`.. bzz-signals::`: every signal: its sender, its arguments, when its receivers run."""

from __future__ import annotations

from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bzz import signals
from bzz.signals import Moment, Signal

_MOMENTS = {
    Moment.BEFORE: "before anything is read or written; what a receiver raises refuses the request",
    Moment.READ: "after the read; the answer waits for it",
    Moment.COMMITTED: "after the commit; the answer waits for it",
    Moment.ATOMIC: "in the transaction (``atomic=True``); what a receiver raises refuses the write",
}


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_directive("bzz-signals", SignalsDirective)


class SignalsDirective(SphinxDirective):
    """All signals."""

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        lines = [line for name in sorted(signals.namespace) for line in _signal(name)]
        return self.parse_text_to_nodes("\n".join(["", *lines]))


def _signal(name: str) -> Iterator[str]:
    signal = signals.namespace[name]
    if not isinstance(signal, Signal):
        return
    yield from (f".. py:data:: bzz.signals.{name}", "   :type: bzz.signals.Signal", "")
    yield from (f"   {signal.__doc__}", "")
    sender, *arguments = signal.arguments
    yield f"   :Sender: the model, as ``{sender}``"
    yield f"   :Arguments: {', '.join(f'``{each}``' for each in arguments)}"
    told = [f"{_MOMENTS[each]}" for each in signal.moments]
    if signal.moments == (Moment.ATOMIC,):
        told = ["in the transaction, always; what a receiver raises refuses the write"]
    yield f"   :Receivers run: {'; or '.join(told)}"
    yield ""
