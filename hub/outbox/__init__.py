"""6: to be sent. Lanes of delivery ids in Redis; the truth is in MongoDB."""
