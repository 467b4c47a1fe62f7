"""Where what a run records is written: TensorBoard and other loggers."""
