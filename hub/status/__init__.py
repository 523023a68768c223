"""Stage 8, the status of sends and deliveries: their records, receipts and counts."""
