"""Recording of attention and its gradients."""
