from __future__ import annotations

from typing import Annotated, Any

import pytest
from cyclopts import Parameter
from pydantic import ValidationError

from imagelab.cli.console import settled, with_fields
from imagelab.data import Textures, Weave
from imagelab.experiment import Experiment


def test_present_values_become_the_defaults_at_every_depth() -> None:
    present = Experiment(data=Textures(size=32), generations=3)
    form = settled(present)
    assert form().model_dump() == present.model_dump()
    assert form.model_fields["generations"].default == 3
    assert type(form()).__name__ == "Experiment" and form.__doc__ == Experiment.__doc__


def test_limits_of_a_field_are_kept() -> None:
    form = settled(Weave(threads=4))
    assert form().model_dump() == Weave(threads=4).model_dump()
    with pytest.raises(ValidationError, match="multiple of 2"):
        form(threads=5)


def test_a_field_can_be_taken_off_the_command_line() -> None:
    form = with_fields(Weave, kind=(Annotated[Any, Parameter(parse=False)], "weave"))
    assert issubclass(form, Weave) and form().model_dump() == Weave().model_dump()
    assert form.__name__ == "Weave" and form.__doc__ == Weave.__doc__
