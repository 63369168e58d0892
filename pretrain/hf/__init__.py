"""Models from and to folders of Hugging Face."""
