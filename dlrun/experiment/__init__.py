"""Experiments: their headers, their claims, and the statistics behind them."""
