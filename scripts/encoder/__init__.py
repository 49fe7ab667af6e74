"""Folders of pretrained encoders, made from packages that the user installed or from a folder."""
