"""Any source as the rest of dlrun sees it: dicts of tensors, each brought to the sizes of the config by its field."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from dlrun.dataset.batch import Batch
from dlrun.dataset.field import Field, Sizes
from dlrun.dataset.source import MapStyle, Source, TensorSource, labels
from dlrun.errors import UserError


@dataclass
class Fitted:
    """Some of a source's examples, fitted when they are asked for.

    Args:
        source: of all the examples.
        fields: what each named tensor is; others of an item are left out.
        sizes: to bring them to.
        indices: of the chosen examples, int64 (N,).
        labels: their classes as the source numbers them, int64 (N,); None where it does not tell.
    """

    source: MapStyle
    fields: Mapping[str, Field]
    sizes: Sizes
    indices: Tensor
    labels: Tensor | None

    @classmethod
    def whole(cls, source: MapStyle, fields: Mapping[str, Field], sizes: Sizes) -> Self:
        """All examples of a source.

        Raises:
            UserError: it has another number of targets.
        """
        known = labels(source)
        if known is not None and len(known) != len(source):
            raise UserError(f"dataset.source: {len(source)} items and {len(known)} targets; expected as many")
        return cls(source, fields, sizes, torch.arange(len(source)), known)

    @property
    def targets(self) -> Tensor:
        """The classes, numbered as the batches are; where they are not known, there is no such attribute."""
        if self.labels is None or "target" not in self.fields:
            raise AttributeError("targets")
        return self.fields["target"].fit(self.labels, self.sizes)

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        """Example ``index``, fitted."""
        item = self.raw(index)
        return {name: field.fit(item[name], self.sizes) for name, field in self.fields.items()}

    def raw(self, index: int) -> Batch:
        """Example ``index`` as the source has it.

        Raises:
            UserError: it is no tensor and no dict with all the fields.
        """
        found = self.source[int(self.indices[index])]
        if isinstance(found, Tensor):
            found = {next(iter(self.fields)): found}
        if not isinstance(found, dict):
            raise UserError(f"dataset.source: an item is a {type(found).__name__}; expected a dict of tensors")
        if self.labels is not None:
            found = {"target": self.labels[index], **found}
        self._check(found)
        return {name: torch.as_tensor(found[name]) for name in self.fields}

    def subset(self, indices: Tensor) -> Self:
        """The examples at these indices."""
        chosen = None if self.labels is None else self.labels[indices]
        return replace(self, indices=self.indices[indices], labels=chosen)

    def in_memory(self) -> TensorSource:
        """All examples, decoded by several threads where they are not tensors yet."""
        if isinstance(self.source, TensorSource):
            found = self.source.tensors
            self._check(found)
            return TensorSource(
                {name: field.fit(found[name][self.indices], self.sizes) for name, field in self.fields.items()}
            )
        tensors = {name: value.new_empty((len(self), *value.shape)) for name, value in self[0].items()}

        def decode(index: int) -> None:
            for name, value in self[index].items():
                tensors[name][index] = value

        with ThreadPoolExecutor() as pool:
            list(pool.map(decode, range(len(self))))
        return TensorSource(tensors)

    def _check(self, item: Batch) -> None:
        if missing := self.fields.keys() - item.keys():
            name, known = sorted(missing)[0], ", ".join(item)
            raise UserError(f"dataset.source: an item has no {name}; expected {', '.join(self.fields)}, found {known}")


def in_memory(source: Source, device: torch.device) -> TensorSource:
    """All examples of a source on the device."""
    held = source.in_memory() if isinstance(source, Fitted) else source
    assert isinstance(held, TensorSource)
    return TensorSource({name: values.to(device) for name, values in held.tensors.items()})
