"""Net: the plan with its blobs, run forward and backward."""
