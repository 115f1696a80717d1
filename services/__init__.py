"""Sharehouse: a Stratum mining proxy, its share store, API, dashboard and merge miner."""
