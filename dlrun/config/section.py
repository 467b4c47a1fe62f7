"""What the sections of a config are made of: their base classes, types, and marks. No torch here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

MOST = 2**31 - 1
"""Of a whole number; what libraries count in 64 bits stays far below their ends."""
Positive = Annotated[int, Field(gt=0, le=MOST)]
Natural = Annotated[int, Field(ge=0, le=MOST)]
Item = TypeVar("Item")
Some = Annotated[list[Item], Field(min_length=1)]
"""A list that is not empty."""
Seed = Annotated[int, Field(ge=0, lt=2**64)]
"""As far as torch takes them."""
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NaturalFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]

MAY_CHANGE = "may change on a run that goes on"
"""The mark of a key (and of all below it) whose value does not change what a continued run does with its data."""
COUNTED = "may be null in a command: the data or the weights tell it"
"""The mark of a key that is filled in later, so that null stands for any value."""


def _radii(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    numbers = [one for one in values if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if not values or len(numbers) < len(values) or not all(0 <= one < math.inf for one in numbers):
        raise PydanticCustomError("radii", "expected 0 or more, such as 0.1 or 8/255, or a list of such numbers")
    return value


Radii = Annotated[Any, AfterValidator(_radii)]
"""Of a perturbation: one number or several."""


class Section(BaseModel):
    """Keys of dlrun's own: no others are taken."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Component(BaseModel):
    """A ``_target_`` with arguments; those not listed here are left to its signature."""

    model_config = ConfigDict(extra="allow", strict=True)
    target: str = Field(alias="_target_")


def marked(section: type[BaseModel], mark: str, key: str = "") -> Iterator[str]:
    """The dotted keys of a section, and of the sections in it, that bear a mark."""
    for name, field in section.model_fields.items():
        place = f"{key}.{field.alias or name}".lstrip(".")
        if mark in field.metadata:
            yield place
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from marked(field.annotation, mark, place)
