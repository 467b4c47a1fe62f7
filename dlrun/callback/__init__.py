"""Whatever watches a training: bars, files, TensorBoard."""
