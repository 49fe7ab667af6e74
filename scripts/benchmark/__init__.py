"""What the service costs beside the bare FAISS calls and beside other libraries, all measured on this machine."""
