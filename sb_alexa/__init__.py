"""Streaming speech recognition for SpeechBrain; importing the package itself loads nothing heavy."""

__version__ = "0.1.0"
