"""Training: features in, a hasher's encoder and decoder out. The only part of the project that needs PyTorch."""
