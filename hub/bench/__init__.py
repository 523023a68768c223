"""`hub bench`: compare a hub with minimal baselines. In the results, the value of a baseline is called the "floor"."""
