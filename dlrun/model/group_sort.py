"""Sorting activations, which neither lengthen nor shorten a gradient."""

from __future__ import annotations

from torch import Tensor, nn


class GroupSort(nn.Module):
    """Sorts the values of each group of neighbouring units or channels (Anil, Lucas and Grosse 2019).

    Groups of two give MinMax (002_650a5abb4bbbf8e1.txt, Lipschitz networks), of which ReLU is a special case: of the
    pairs (a, 0), the larger is relu(a).

    Args:
        group: units in a group, which must divide their number.
    """

    def __init__(self, group: int = 2) -> None:
        super().__init__()
        if group < 1:
            raise ValueError(f"group={group}: expected 1 or more")
        self.group = group

    def forward(self, values: Tensor) -> Tensor:
        """Values (B, C, ...), sorted along C within the groups, ascending."""
        groups = values.reshape(len(values), -1, self.group, *values.shape[2:])
        return groups.sort(dim=2).values.view_as(values)

    def extra_repr(self) -> str:
        """The group, for the printed model."""
        return f"group={self.group}"
