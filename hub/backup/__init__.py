"""Backups of the database: a consistent copy in a folder or an S3 bucket, and its way back into an empty database."""
