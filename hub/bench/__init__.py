"""`hub bench`: measure a hub against minimal baselines. The results call the result of a baseline the "floor"."""
