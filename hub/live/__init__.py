"""Live delivery: changes travel between processes over Redis pub/sub and reach clients through bounded feeds."""
