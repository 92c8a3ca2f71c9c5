"""The host: its cores, accelerators and processes, and how fast it trains."""
