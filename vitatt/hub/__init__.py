"""Models for the Hugging Face hub: licences, model card, examples, upload."""
