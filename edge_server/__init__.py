"""The edge server: receives, decodes what came in time, classifies, stores, shows."""
