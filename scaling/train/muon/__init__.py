"""Muon: momentum whose matrices are orthogonalised, with Adam for all other parameters."""
