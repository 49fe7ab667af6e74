"""Collections in a Milvus, which any number of services share."""
