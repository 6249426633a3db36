"""vfi: command-line video frame-rate upsampling and slow motion."""

__version__ = "0.1.0"
