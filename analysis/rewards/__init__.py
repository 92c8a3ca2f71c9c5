"""Rewards after pre-training: curves of proxy and gold reward, over-optimisation, and forecasts of both."""
