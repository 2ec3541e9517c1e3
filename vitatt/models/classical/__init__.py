"""Classifiers of scikit-learn on encoded metadata."""
