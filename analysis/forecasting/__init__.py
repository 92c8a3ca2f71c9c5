"""Forecasting: from the runs to a calibrated forecast of a larger one, and its score."""
