"""Predictions and explanations of single images with their answers, by trained models."""

from vitatt.inference.images import ImageInput
from vitatt.inference.predictor import Predictor
from vitatt.inference.results import Explanation, Prediction

__all__ = ["Explanation", "ImageInput", "Prediction", "Predictor"]
