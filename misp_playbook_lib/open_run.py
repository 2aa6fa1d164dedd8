"""What an open run is made of, and what forms may do to it: change its parameters, nothing else."""

from typing import Any, ClassVar, Optional

from misp_playbook_lib.clients.misp import MispClient
from misp_playbook_lib.errors import StepOrderError
from misp_playbook_lib.model.modules import MispServer
from misp_playbook_lib.parameters import PlaybookParameters
from misp_playbook_lib.report import display
from misp_playbook_lib.report.summary import Summary
from misp_playbook_lib.settings import Settings
from misp_playbook_lib.state import RunState
from misp_playbook_lib.steps.deliver import Deliveries
from misp_playbook_lib.steps.lookups import LookupDesk
from misp_playbook_lib.steps.notify import Message
from misp_playbook_lib.steps.order import FIRST, StepOrder

STEP_OF_VARIABLE = {
    "parameters": "the cells under Parameters",
    "run": "PR:1",
    "modules": "PR:2",
    "lists": "IN:1",
    "selection": "IN:2",
    "details": "IN:3",
    "values": "IN:4",
    "plan": "IN:4",
    "applied": "IN:5",
    "matches": "ER:1",
    "virustotal": "ER:2",
    "shodan": "ER:3",
    "summary": "EN:1",
}
"""What the notebook calls the results of the steps: a cell that runs too early says which to run first."""


class OpenRun:
    """A run's parameters, settings, connection and state."""

    _watched: ClassVar[Optional["OpenRun"]] = None
    """The run that somebody works on in this kernel: PR:1 run again goes on with what its forms hold."""

    def __init__(self, parameters: PlaybookParameters, settings: Settings, misp: MispClient, state: RunState) -> None:
        self.parameters = parameters
        self.settings = settings
        self.misp = misp
        self.state = state
        self.order = StepOrder()
        self._deliveries = Deliveries(parameters, settings, state)
        self._lookups = LookupDesk(parameters, settings)
        self._given = parameters
        self._edits: dict[str, Any] = {}

    @property
    def server(self) -> MispServer:
        """The server this run works on."""
        return self.misp.server

    @property
    def unattended(self) -> bool:
        """Whether nobody is watching: the runner executes the notebook and archives what it shows."""
        return self.state.folder is not None

    def edit(self, **changes: Any) -> None:
        """Replace parameters by a checked copy with these changes; nothing is done with them before a step runs.

        Raises:
            ParameterError: a value is wrong; the parameters stay as they were.

        """
        self.parameters = self.parameters.edited(changes)
        self._edits |= changes
        self._deliveries.use(self.parameters)
        self._lookups.use(self.parameters)

    def refuse_other_parameters(self) -> None:
        """See that the parameters cell still says what this run was opened with, for somebody who runs cells.

        Raises:
            StepOrderError: it ran again with other values; the message names them.
            ParameterError: its values are wrong.

        """
        if self.unattended:
            return
        cell = {name: value for name, value in display.variables().items() if name in PlaybookParameters.model_fields}
        said = PlaybookParameters.collect(cell)
        if others := [name for name in cell if getattr(said, name) != getattr(self._given, name)]:
            raise StepOrderError(
                f"The parameters cell says otherwise than when PR:1 ran: {', '.join(others)}. "
                "Run the cell below it and PR:1 again, and then the cells below."
            )

    def preview(self, service: str, summary: Summary) -> tuple[str, tuple[Message, ...]]:
        """Say what a service would be told, or why it would not be; nothing is sent."""
        return self._deliveries.preview(service, summary)

    def _go_on(self) -> None:
        """Take over from an earlier run in this kernel what its forms hold and its steps made, and say so.

        What the parameters cell says otherwise than it did then is its author's later word.
        """
        earlier = None if self.unattended else OpenRun._watched
        if earlier is not None:
            self.order = earlier.order
            self._deliveries.go_on(earlier._deliveries)  # noqa: SLF001 - one class
            kept = {
                name: value
                for name, value in earlier._edits.items()  # noqa: SLF001 - one class
                if getattr(earlier._given, name) == getattr(self._given, name)  # noqa: SLF001 - one class
            }
            if kept:
                self.edit(**kept)
                line = f"Kept from the forms: {', '.join(kept)}. Restart the kernel to start from the parameters cell."
                display.show(display.as_view([line]))
        with self.order.step(FIRST, self.parameters, ()) as made:
            made.append(self.server)
        if not self.unattended:
            OpenRun._watched = self
