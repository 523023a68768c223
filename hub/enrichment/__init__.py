"""The enrichment of sends: the jobs, the calls of tenants' URLs, and the cache of their answers."""
