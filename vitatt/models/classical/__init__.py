"""Classifiers of scikit-learn on encoded cases."""
