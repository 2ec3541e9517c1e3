"""Trained models in formats that other software reads, each compared with the original."""
