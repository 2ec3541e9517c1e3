"""Networks that read an image and its metadata, their losses, and the LightningModule."""
