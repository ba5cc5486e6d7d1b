"""Streaming speech recognition for SpeechBrain; importing the package itself is instant."""

__version__ = "0.1.0"
