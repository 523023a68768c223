"""Stage 8, the status of sends and deliveries: records, receipts, and counts."""
