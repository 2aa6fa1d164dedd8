"""Whether what a step is given is still what the steps before it make: cells run in any order, twice, or changed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from misp_playbook_lib.errors import StepOrderError
from misp_playbook_lib.parameters import PlaybookParameters, step_of
from misp_playbook_lib.report.progress import shown_waiting

FIRST = "PR:1"
"""The step that every other one works on: who we are, and on which server."""
_FAILED = object()
_KEPT = 5
"""Earlier results of a step that are recognised; each can hold a whole list."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a step made: from which parameters of its own, and from what other steps had made."""

    code: str
    given: tuple[tuple[str, Any], ...]
    sources: tuple["Made", ...]
    result: Any


class StepOrder:
    """Remembers what each step of a run made.

    What no step made (a table that the analyst filtered, a plan built by hand) is taken as it is.
    """

    def __init__(self) -> None:
        self._made: dict[str, list[Made]] = {}

    @contextmanager
    def step(self, code: str, parameters: PlaybookParameters, arguments: Iterable[Any]) -> Iterator[list[Any]]:
        """Run a step on `arguments`; what it makes is put into the list that is yielded.

        Raises:
            StepOrderError: what it is given is out of date; the message names the step to run first.

        """
        sources = tuple(made for one in _flat(arguments) if one is not None and (made := self._maker(one)))
        for source in sources:
            self._refuse_stale(code, source, parameters)
        # A step that goes on with its own result, as IN:6 run twice, stands on what the first one stood on.
        sources = tuple(
            one for made in sources for one in (made.sources if made.code == code else (made,)) if one.code != FIRST
        )
        results: list[Any] = []
        try:
            yield results
        finally:
            first = self._made.get(FIRST, [])[-1:] if code != FIRST else []
            result = results[0] if results else _FAILED
            made = Made(code, tuple(_own(code, parameters)), (*first, *sources), result)
            self._made[code] = [*self._made.get(code, ())[1 - _KEPT :], made]

    def outdated(self, step: str, parameters: PlaybookParameters) -> str:
        """Say which parameters of a step are others than when it ran, empty if it did not run or none is."""
        made = [self._made[code][-1] for code in self._made if _shown(code) == step]
        return next((_changed(one, parameters) for one in made if _changed(one, parameters)), "")

    def _maker(self, result: Any) -> Made | None:
        """Find the step that made an object; the last one, for some hand on what they were given."""
        return next(
            (one for made in reversed(self._made.values()) for one in reversed(made) if one.result is result), None
        )

    def _refuse_stale(self, code: str, source: Made, parameters: PlaybookParameters) -> None:
        latest = self._made[source.code][-1]
        found = self._stale(latest, parameters)
        if found is None and latest is not source and latest != source:
            found = source.code, f"it was given what an earlier run of {_shown(source.code)} made"
        if found is not None:
            again, reason = _shown(found[0]), found[1]
            raise StepOrderError(
                f"{_shown(code)} would work on what is out of date: {reason}. "
                f"Run {again} again and then the cells below it."
            )

    def _stale(self, made: Made, parameters: PlaybookParameters) -> tuple[str, str] | None:
        """Return the first step that must run again, and why; None where all is up to date."""
        for source in made.sources:
            latest = self._made[source.code][-1]
            if found := self._stale(latest, parameters):
                return found
            if latest is not source and latest != source:
                return made.code, f"{_shown(source.code)} ran again after {_shown(made.code)}, with another result"
        if made.result is _FAILED:
            return made.code, f"{_shown(made.code)} did not come to its end"
        if changed := _changed(made, parameters):
            return made.code, f"{changed} changed after {_shown(made.code)} ran"
        return None


class Ordered(Protocol):
    """A run with parameters that remembers what its steps made, before somebody's eyes or not."""

    parameters: PlaybookParameters
    order: StepOrder

    @property
    def unattended(self) -> bool:
        """Whether nobody is watching."""

    def refuse_other_parameters(self) -> None:
        """See that the run was opened with what the notebook's parameters cell says."""


Run = TypeVar("Run", bound=Ordered)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Method = Callable[Concatenate[Run, Arguments], Result]


def in_order(
    code: str = "", *, counts: bool = False, also: str = ""
) -> Callable[[Method[Run, Arguments, Result]], Method[Run, Arguments, Result]]:
    """Let a method refuse what is out of date, and remember what it makes; show how long it takes unless it `counts`.

    Its first argument is the code if that is not given. `also` names the attribute that holds an input which is no
    argument. It raises StepOrderError, naming the step to run first.
    """

    def decorate(method: Method[Run, Arguments, Result]) -> Method[Run, Arguments, Result]:
        @wraps(method)
        def wrapped(self: Run, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            step = code or str(args[0])
            self.refuse_other_parameters()
            waiting = shown_waiting(step, quiet=counts or self.unattended)
            inputs = [*args, *kwargs.values(), getattr(self, also) if also else None]
            with self.order.step(step, self.parameters, inputs) as results, waiting:
                results.append(method(self, *args, **kwargs))
            made: Result = results[0]
            return made

        return wrapped

    return decorate


def _own(code: str, parameters: PlaybookParameters) -> Iterator[tuple[str, Any]]:
    for name, field in type(parameters).model_fields.items():
        if step_of(field) == _shown(code):
            yield name, getattr(parameters, name)


def _changed(made: Made, parameters: PlaybookParameters) -> str:
    return ", ".join(name for name, value in made.given if getattr(parameters, name) != value)


def _shown(code: str) -> str:
    """Return the code of the heading that a step stands under (`IN:4 values` stands under IN:4)."""
    return code.split(" ", 1)[0]


def _flat(arguments: Iterable[Any]) -> Iterator[Any]:
    for one in arguments:
        if isinstance(one, list):
            yield from one
        else:
            yield one
