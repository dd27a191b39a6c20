"""Property tests here have no time limit per example: the machine may be busy."""

from hypothesis import settings

settings.register_profile("transport", deadline=None)
settings.load_profile("transport")
