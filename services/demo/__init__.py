"""A fully validating solo Stratum pool on a synthetic chain, for the demo and for the tests."""
