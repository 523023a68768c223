"""For whom: the people of a tenant."""
