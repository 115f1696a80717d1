"""Stratum V1 as it is really spoken, without any I/O and on the standard library alone.

Bytes and plain values go in, bytes, values and :class:`~services.stratum.reject.StratumError` come out; sockets and
clocks belong to the caller. The proxy, the demo pool and the merge miner all speak through these modules.
"""
