"""Images to train on: in memory, drawn on demand, or your own."""

from vaelib.data.factors import FactorImages
from vaelib.data.images import DataError, ImageData, draw_binary
from vaelib.data.load import data_root, load

__all__ = ["DataError", "FactorImages", "ImageData", "data_root", "draw_binary", "load"]
