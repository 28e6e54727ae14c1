"""fmkit: turn a pretrained model into your own."""

__version__ = "0.2.0"
