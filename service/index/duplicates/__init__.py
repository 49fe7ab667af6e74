"""Near-duplicates among all codes of a collection, exactly: every pair that is near, and the groups that they make."""
