"""Recipients: users, devices, preferences, and tenants."""
