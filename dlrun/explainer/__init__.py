"""Maps of where a model looks: one method to a file, all with the contract of :class:`Explainer`."""
