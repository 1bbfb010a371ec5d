"""What keeps the tables, the bucket and Dagster in agreement."""
