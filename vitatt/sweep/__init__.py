"""Hyperparameter search over inner folds."""
