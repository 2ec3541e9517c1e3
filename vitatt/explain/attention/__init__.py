"""Recording attention and its gradients."""
