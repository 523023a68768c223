"""At once: changes travel between processes over Redis pub/sub, and into bounded feeds to the sockets."""
